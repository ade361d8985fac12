import { createHash } from "node:crypto";
import { Agent, request as httpRequest } from "node:http";
import { ResetCode } from "@ggrok/protocol";
import { describe, expect, it } from "vitest";
import { get, startIngress } from "./ingress-world.ts";

const post = (body: string, fields = ""): string =>
  `POST / HTTP/1.1\r\nHost: a.test\r\n${fields}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

describe("an answer", () => {
  it("reaches the visitor byte for byte, with nothing added but the connection's own fields", async () => {
    await using world = await startIngress();
    world.app = (exchange) =>
      exchange.answer(
        200,
        ["X-Bytes", "\u00e9\u00ff\u00c3\u00a9", "set-cookie", "a", "Set-Cookie", "b", "Content-Length", "2"],
        "ok",
      );
    const visitor = await world.visit(get());
    expect(await visitor.until("ok")).toBe(
      "HTTP/1.1 200 OK\r\nX-Bytes: \u00e9\u00ff\u00c3\u00a9\r\nset-cookie: a\r\nSet-Cookie: b\r\nContent-Length: 2\r\n" +
        "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\nok",
    );
  });

  it("keeps the bytes of a disposition behind a length", async () => {
    await using world = await startIngress();
    const latin1 = "attachment; filename=\u00fc\u00e9";
    const utf8 = Buffer.from("attachment; filename=\u20acuro", "utf8").toString("latin1");
    world.app = (exchange) =>
      exchange.answer(200, ["Content-Length", "2", "Content-Disposition", latin1, "content-disposition", utf8], "ok");
    const visitor = await world.visit(get());
    const text = await visitor.until("ok");
    expect(text).toContain(`\r\nContent-Disposition: ${latin1}\r\ncontent-disposition: ${utf8}\r\n`);
  });

  it("sends a head that comes alone at once, its bytes intact, and then each chunk", async () => {
    await using world = await startIngress();
    world.app = (exchange) => exchange.answer(200, ["X", "\u00e9"]);
    const visitor = await world.visit(get());
    expect(await visitor.until("\r\n\r\n")).toContain("\r\nX: \u00e9\r\n");
    const { stream } = await world.exchange(0);
    for (const event of ["data: 1\n\n", "data: 2\n\n"]) {
      stream.write(Buffer.from(event));
      await visitor.until(event);
    }
    stream.end();
    await visitor.until("0\r\n\r\n");
  });

  it("has no body for HEAD, 204, 205 and 304, and the connection goes on", async () => {
    await using world = await startIngress();
    world.app = (exchange) => {
      const status = Number(exchange.head.target.slice(1));
      exchange.answer(
        status,
        status === 200 ? ["Content-Length", "5"] : status === 205 ? ["Content-Length", "0"] : ["ETag", "x"],
        "",
      );
    };
    const visitor = await world.visit();
    for (const [method, status] of [
      ["HEAD", 200],
      ["GET", 204],
      ["GET", 205],
      ["GET", 304],
      ["HEAD", 404],
    ] as const) {
      visitor.text = "";
      visitor.send(`${method} /${status} HTTP/1.1\r\nHost: a.test\r\n\r\n`);
      expect(await visitor.until("\r\n\r\n")).toMatch(new RegExp(`^HTTP/1.1 ${status} OK\r\n[\\s\\S]*\r\n\r\n$`, "u"));
    }
    visitor.text = "";
    visitor.send("GET /201 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    expect(await visitor.until("0\r\n\r\n")).toMatch(/^HTTP\/1\.1 201 OK\r\n/u);
  });

  it("is delimited by the end of the connection for HTTP/1.0", async () => {
    await using world = await startIngress();
    const visitor = await world.visit(get("/", "TE: chunked\r\n", "1.0"));
    expect(await visitor.untilClosed()).toBe("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok");
    expect(visitor.error).toBeUndefined();
    expect((await world.exchange(0)).head.version).toBe("1.0");
  });

  it("carries trailers when it is chunked", async () => {
    await using world = await startIngress();
    world.app = ({ stream }) => {
      stream.sendHead({ status: 200, reason: "OK", fields: ["Trailer", "X-Sum"] });
      stream.write(Buffer.from("body"));
      stream.sendTrailers(["X-Sum", "\u00e9", "Content-Length", "9"]);
    };
    const visitor = await world.visit(get("/", "TE: trailers\r\n"));
    expect(await visitor.until("X-Sum: \u00e9\r\n\r\n")).toMatch(
      /Trailer: X-Sum[\s\S]*\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: \u00e9\r\n\r\n$/u,
    );
  });

  it("is preceded by its interim heads, in order", async () => {
    await using world = await startIngress();
    world.app = (exchange) => {
      exchange.stream.sendHead({
        status: 103,
        reason: "Early Hints",
        fields: ["Link", "</a>; rel=preload", "X", "\u00e9"],
      });
      exchange.stream.sendHead({ status: 102, reason: "Processing", fields: [] });
      exchange.stream.sendHead({ status: 103, reason: "", fields: ["Link", "</b>"] });
      exchange.answer(200, ["Content-Length", "2"], "ok");
    };
    const visitor = await world.visit(get());
    expect(await visitor.until("ok")).toMatch(
      /^HTTP\/1\.1 103 Early Hints\r\nLink: <\/a>; rel=preload\r\nX: \u00e9\r\n\r\nHTTP\/1\.1 102 Processing\r\n\r\nHTTP\/1\.1 103 \r\nLink: <\/b>\r\n\r\nHTTP\/1\.1 200 OK\r\n/u,
    );
    const old = await world.visit(get("/", "", "1.0"));
    expect(await old.untilClosed()).toMatch(/^HTTP\/1\.1 200 OK\r\n/u);
  });

  it("goes out in the order of the requests of a connection, each asked for in its turn", async () => {
    await using world = await startIngress();
    world.app = () => {};
    const visitor = await world.visit(get("/0") + get("/1") + get("/2"));
    for (const [n, word] of ["first", "second", "third"].entries()) {
      const exchange = await world.exchange(n);
      expect(world.exchanges).toHaveLength(n + 1);
      expect(exchange.head.target).toBe(`/${n}`);
      exchange.stream.sendHead({ status: 103, reason: "E", fields: ["Link", "x"] });
      exchange.answer(200, ["Content-Length", String(word.length)], word);
      await visitor.until(word);
    }
    const heads = visitor.text.replace(/HTTP\/1\.1 (\d+)[\s\S]*?\r\n\r\n/gu, "<$1>");
    expect(heads).toBe("<103><200>first<103><200>second<103><200>third");
    visitor.text = "";
    world.app = (exchange) => exchange.answer(200, ["Content-Length", "2"], "ok");
    visitor.send(get("/3"));
    await visitor.until("\r\n\r\nok");
  });

  it("holds a visitor back who sends requests without end", async () => {
    await using world = await startIngress();
    world.app = () => {};
    const visitor = await world.visit();
    const burst = Buffer.from(get("/again").repeat(10_000));
    for (let i = 0; i < 20; i += 1) visitor.send(burst);
    await world.exchange(0);
    for (let turn = 0; turn < 300; turn += 1) await new Promise<void>((resolve) => setImmediate(resolve));
    // The kernel takes some of the 6.6 MB by itself; most of them stay with the visitor.
    expect(visitor.socket.writableLength).toBeGreaterThan(1_048_576);
    expect(world.exchanges).toHaveLength(1);
    visitor.socket.destroy();
    world.app = (exchange) => exchange.answer(200, [], "x");
    world.exchanges[0]?.answer(200, [], "x");
    for (let turn = 0; turn < 10_000 && world.ingress.openExchanges > 0; turn += 1) {
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    expect(world.ingress.openExchanges).toBe(0);
  });

  it("waits for a reader who does not read", async () => {
    await using world = await startIngress();
    world.app = (exchange) => exchange.answer(200, []);
    const visitor = await world.visit(get());
    visitor.isCounting = true;
    const { stream } = await world.exchange(0);
    await visitor.untilBytes(1);
    visitor.socket.pause();
    const chunk = Buffer.alloc(65_536, 1);
    let sent = 0;
    let isFull = false;
    // Loopback takes some megabytes by itself; a relay that did not hold back would take all of this.
    for (let i = 0; i < 1_600 && !isFull; i += 1) {
      isFull = !stream.write(chunk);
      sent += chunk.length;
      for (let turn = 0; turn < 8 && isFull; turn += 1) {
        await new Promise<void>((resolve) => setImmediate(resolve));
        isFull = stream.bytesOut < sent;
      }
    }
    expect(isFull).toBe(true);
    expect(sent).toBeLessThan(64 * 1_048_576);
    stream.end();
    visitor.socket.resume();
    await visitor.untilBytes(sent);
    await world.record();
    expect(world.records[0]).toMatchObject({ status: 200, bytesOut: sent });
  });
});

describe("a broken answer", () => {
  it.each([
    ["with a length", ["Content-Length", "9"], "1.1"],
    ["in chunks", [], "1.1"],
  ] as const)("%s never looks whole", async (_how, fields, version) => {
    await using world = await startIngress();
    world.app = ({ stream }) => {
      stream.sendHead({ status: 200, reason: "OK", fields });
      stream.write(Buffer.from("part"));
    };
    const visitor = await world.visit(get("/", "", version));
    await visitor.until("part");
    (await world.exchange(0)).stream.reset(ResetCode.UpstreamReset);
    expect(await visitor.untilClosed()).not.toMatch(/0\r\n\r\n$/u);
    expect(await world.record()).toMatchObject({ status: 200, code: "ERR_GGROK_UPSTREAM_RESET", bytesOut: 4 });
  });

  it("is a reset where the end of the connection is the end of the body", async () => {
    await using world = await startIngress();
    world.app = ({ stream }) => {
      stream.sendHead({ status: 200, reason: "OK", fields: [] });
      stream.write(Buffer.from("part"));
    };
    const visitor = await world.visit(get("/", "", "1.0"));
    await visitor.until("part");
    (await world.exchange(0)).stream.reset(ResetCode.UpstreamReset);
    await visitor.untilClosed();
    expect(visitor.error?.code).toBe("ECONNRESET");
  });

  it("breaks when the body is shorter than its length", async () => {
    await using world = await startIngress();
    world.app = (exchange) => exchange.answer(200, ["Content-Length", "9"], "short");
    const visitor = await world.visit(get());
    await visitor.untilClosed();
    expect(visitor.text).not.toContain("short");
    expect(await world.record()).toMatchObject({ code: "ERR_GGROK_UPSTREAM_MALFORMED" });
  });

  it("cannot write behind its length into the next answer", async () => {
    await using world = await startIngress();
    world.app = (exchange) => exchange.answer(200, ["Content-Length", "2"], "okHTTP/1.1 200 forged\r\n\r\n");
    const visitor = await world.visit(get());
    expect(await visitor.untilClosed()).not.toContain("forged");
  });

  it.each([
    [ResetCode.UpstreamRefused, 502, "UPSTREAM_REFUSED"],
    [ResetCode.UpstreamReset, 502, "UPSTREAM_RESET"],
    [ResetCode.UpstreamMalformed, 502, "UPSTREAM_MALFORMED"],
    [ResetCode.UpstreamTls, 502, "UPSTREAM_TLS_FAILED"],
    [ResetCode.UpstreamTimeout, 504, "UPSTREAM_TIMEOUT"],
    [ResetCode.Overload, 503, "RELAY_OVERLOADED"],
  ])("becomes an answer of the relay when it has not begun: %i", async (code, status, name) => {
    await using world = await startIngress();
    world.app = ({ stream }) => stream.reset(code);
    const visitor = await world.visit(get("/", "Accept: application/json\r\n"));
    const text = await visitor.until(/\}\s$/u);
    expect(text).toMatch(new RegExp(`^HTTP/1.1 ${status} `, "u"));
    expect(text).toContain(`\r\nggrok-error: ERR_GGROK_${name}\r\n`);
    expect(text).toContain("\r\nCache-Control: no-store\r\n");
    expect(text.includes("\r\nRetry-After: ")).toBe(status === 503);
    expect(text).toContain(`\r\nx-request-id: ${(await world.exchange(0)).head.requestId}\r\n`);
    visitor.text = "";
    world.app = (exchange) => exchange.answer(200, ["Content-Length", "2"], "ok");
    visitor.send(get());
    await visitor.until("ok");
  });

  it.each([
    [{ status: 200, reason: "OK", fields: ["Content-Length", "2", "Content-Length", "3"] }],
    [{ status: 101, reason: "Switching Protocols", fields: ["Upgrade", "foo"] }],
  ])("is 502 when its head makes no sense: %j", async (head) => {
    await using world = await startIngress();
    world.app = ({ stream }) => stream.sendHead(head);
    const visitor = await world.visit(get());
    expect(await visitor.until("ERR_GGROK_UPSTREAM_MALFORMED")).toMatch(/^HTTP\/1\.1 502 /u);
    await (await world.exchange(0)).untilReset();
  });
});

describe("an upload", () => {
  it("arrives whole, with its length, and in chunks", async () => {
    await using world = await startIngress();
    world.app = (exchange) =>
      void exchange
        .untilEnded()
        .then((body) =>
          exchange.answer(200, ["Content-Length", "64"], createHash("sha256").update(body).digest("hex")),
        );
    const body = Buffer.alloc(3_000_001, "0123456789abc");
    const sum = createHash("sha256").update(body).digest("hex");
    const visitor = await world.visit(`POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${body.length}\r\n\r\n`);
    visitor.send(body);
    await visitor.until(sum);
    expect((await world.exchange(0)).field("content-length")).toBe(String(body.length));
    visitor.text = "";
    visitor.send("PUT / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (let i = 0; i < body.length; i += 100_000) {
      const chunk = body.subarray(i, i + 100_000);
      visitor.send(`${chunk.length.toString(16)}\r\n`);
      visitor.send(chunk);
      visitor.send("\r\n");
    }
    visitor.send("0\r\n\r\n");
    await visitor.until(sum);
    expect((await world.exchange(1)).field("transfer-encoding")).toBeUndefined();
  });

  it("carries the visitor's trailers, but none that would change the request", async () => {
    await using world = await startIngress();
    world.app = (exchange) => void exchange.untilEnded().then(() => exchange.answer(200, [], "ok"));
    const visitor = await world.visit(
      "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: \u00e9\r\nX-Forwarded-For: 6.6.6.6\r\nHost: b.test\r\n\r\n",
    );
    await visitor.until("0\r\n\r\n");
    expect((await world.exchange(0)).trailers).toEqual(["X-Sum", "\u00e9"]);
  });

  it("is asked for by the app alone", async () => {
    await using world = await startIngress();
    world.app = () => {};
    const visitor = await world.visit(
      "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    );
    const exchange = await world.exchange(0);
    expect(exchange.field("expect")).toBe("100-continue");
    expect(visitor.text).toBe("");
    exchange.stream.sendHead({ status: 100, reason: "Continue", fields: [] });
    await visitor.until("HTTP/1.1 100 Continue\r\n\r\n");
    visitor.send("hi");
    expect((await exchange.untilEnded()).toString()).toBe("hi");
    exchange.answer(200, ["Content-Length", "2"], "ok");
    expect(await visitor.until("ok")).toContain("Connection: keep-alive");
  });

  it("can be refused before it starts", async () => {
    await using world = await startIngress();
    world.app = (exchange) => exchange.answer(413, [], "no");
    const visitor = await world.visit(
      "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    );
    expect(await visitor.untilClosed()).toMatch(/^HTTP\/1\.1 413 OK\r\n[\s\S]*no\r\n0\r\n\r\n$/u);
  });

  it("reaches the app at once when the visitor does not wait", async () => {
    await using world = await startIngress();
    world.app = (exchange) =>
      void exchange.untilEnded().then(() => exchange.answer(200, ["Content-Length", "2"], "ok"));
    const visitor = await world.visit(post("hello", "Expect: 100-continue\r\n"));
    expect(await visitor.until("ok")).toMatch(/^HTTP\/1\.1 200 /u);
  });

  it("and its answer flow at the same time", async () => {
    await using world = await startIngress();
    world.app = (exchange) => {
      exchange.answer(200, []);
      exchange.onData = (chunk, fin) => {
        if (fin) exchange.stream.end();
        else exchange.stream.write(Buffer.from(chunk));
        return true;
      };
    };
    const visitor = await world.visit("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (let round = 0; round < 20; round += 1) {
      const word = `round-${String(round).padStart(2, "0")}`;
      visitor.send(`8\r\n${word}\r\n`);
      await visitor.until(word);
    }
    visitor.send("0\r\n\r\n");
    await visitor.until("0\r\n\r\n");
  });

  it("does not stop a final answer in its middle, and the connection stays usable", async () => {
    await using world = await startIngress();
    world.app = (exchange) => {
      exchange.answer(413, ["Content-Length", "8"], "too much");
      exchange.stream.reset(ResetCode.StopSending);
    };
    const visitor = await world.visit("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 52428800\r\n\r\nfirst");
    await visitor.until("too much");
    const rest = 52_428_800 - 5;
    for (let sent = 0; sent < rest; sent += 1_048_576) visitor.send(Buffer.alloc(Math.min(1_048_576, rest - sent)));
    visitor.text = "";
    world.app = (exchange) => exchange.answer(200, ["Content-Length", "2"], "ok");
    visitor.send(get());
    expect(await visitor.until("ok")).toMatch(/^HTTP\/1\.1 200 /u);
    expect(world.records[0]).toMatchObject({ status: 413, bytesOut: 8 });
  });

  it("does not cost the visitor the answer when the connection closes behind it", async () => {
    await using world = await startIngress();
    world.app = (exchange) => {
      exchange.answer(413, ["Content-Length", "8"], "too much");
      exchange.stream.reset(ResetCode.StopSending);
    };
    const visitor = await world.visit(
      "POST / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Length: 20000000\r\n\r\n",
    );
    visitor.socket.pause();
    visitor.send(Buffer.alloc(20_000_000));
    if (visitor.socket.writableLength > 0) await new Promise((resolve) => visitor.socket.once("drain", resolve));
    visitor.socket.resume();
    expect(await visitor.untilClosed()).toMatch(/too much$/u);
    expect(visitor.error).toBeUndefined();
  });

  it("waits for an app that does not read", async () => {
    await using world = await startIngress();
    world.app = (exchange) => {
      exchange.isFull = true;
    };
    const visitor = await world.visit("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 104857600\r\n\r\n");
    for (let i = 0; i < 100; i += 1) visitor.send(Buffer.alloc(1_048_576));
    const exchange = await world.exchange(0);
    await exchange.signal.until("the first chunk", () => exchange.bytes > 0);
    for (let turn = 0; turn < 200; turn += 1) await new Promise<void>((resolve) => setImmediate(resolve));
    expect(visitor.socket.writableLength).toBeGreaterThan(30 * 1_048_576);
    exchange.isFull = false;
    exchange.stream.resume();
    await exchange.untilEnded();
    expect(exchange.bytes).toBe(104_857_600);
    exchange.answer(200, [], "ok");
    await visitor.until("0\r\n\r\n");
  });
});

describe("a visitor who leaves", () => {
  it("while waiting, is told to the app at once", async () => {
    await using world = await startIngress();
    world.app = () => {};
    const visitor = await world.visit(get());
    const exchange = await world.exchange(0);
    visitor.socket.end();
    expect((await exchange.untilReset()).code).toBe(ResetCode.VisitorLeft);
    expect(await world.record()).toMatchObject({ status: 0, tunnel: "http://a.test" });
  });

  it("while downloading, is told to the app at once", async () => {
    await using world = await startIngress();
    world.app = (exchange) => exchange.answer(200, []);
    const visitor = await world.visit(get());
    await visitor.until("\r\n\r\n");
    visitor.socket.destroy();
    expect((await (await world.exchange(0)).untilReset()).code).toBe(ResetCode.VisitorLeft);
  });

  it.each(["Content-Length: 100\r\n\r\npart", "Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"])(
    "while uploading, never completes the body: %j",
    async (rest) => {
      await using world = await startIngress();
      world.app = () => {};
      const visitor = await world.visit(`POST / HTTP/1.1\r\nHost: a.test\r\n${rest}`);
      const exchange = await world.exchange(0);
      await exchange.signal.until("the part", () => exchange.bytes === 4);
      visitor.socket.resetAndDestroy();
      expect((await exchange.untilReset()).code).toBe(ResetCode.VisitorLeft);
      expect(exchange.hasEnded).toBe(false);
    },
  );

  it("after the answer but within the upload, is told to the app", async () => {
    await using world = await startIngress();
    world.app = (exchange) => exchange.answer(200, ["Content-Length", "2"], "ok");
    const visitor = await world.visit("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\npart");
    await visitor.until("ok");
    await world.record();
    visitor.socket.destroy();
    expect((await (await world.exchange(0)).untilReset()).code).toBe(ResetCode.VisitorLeft);
  });
});

describe("many at once", () => {
  it("are not mixed up", async () => {
    await using world = await startIngress();
    world.app = (exchange) =>
      void exchange
        .untilEnded()
        .then((body) => exchange.answer(200, [], Buffer.concat([Buffer.from(exchange.head.target), body])));
    const agent = new Agent({ keepAlive: true, maxSockets: 20 });
    const visit = (n: number): Promise<string> =>
      new Promise((resolve, reject) => {
        const req = httpRequest(
          { port: world.port, agent, path: `/${n}`, method: n % 2 === 0 ? "GET" : "POST", headers: { host: "a.test" } },
          (res) => {
            res.setEncoding("latin1");
            let text = "";
            res.on("data", (chunk: string) => {
              text += chunk;
            });
            res.on("end", () => resolve(text));
            res.on("error", reject);
          },
        );
        req.on("error", reject);
        req.end(n % 2 === 0 ? undefined : "x".repeat(n * 17));
      });
    const answers = await Promise.all(Array.from({ length: 200 }, (_, n) => visit(n)));
    agent.destroy();
    expect(answers).toEqual(Array.from({ length: 200 }, (_, n) => `/${n}${n % 2 === 0 ? "" : "x".repeat(n * 17)}`));
    expect(world.ingress.openExchanges).toBe(0);
  });
});
