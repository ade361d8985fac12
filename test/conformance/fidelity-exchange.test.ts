// The course of an exchange: interim answers, Expect, answers without a body, trailers, HTTP/1.0, pipelining, broken answers.
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { valuesOf } from "../harness/byte-reader.ts";
import { Changes } from "../harness/deadline.ts";
import { statusOf } from "../harness/raw-client.ts";
import type { OriginConnection } from "../harness/raw-origin.ts";
import { startWorld, type World } from "../harness/world.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterEach(() => {
  world.origin.script = undefined;
  world.origin.answer = OK;
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

describe("interim answers", () => {
  it.each([
    ["103", ["103 Early Hints"]],
    ["102", ["102 Processing"]],
    ["several", ["103 Early Hints", "102 Processing", "103 Early Hints", "102 Processing"]],
    ["15 of them", Array.from({ length: 15 }, () => "103 Early Hints")],
  ])("%s come before the answer, in order and with their fields", async (_name, interims) => {
    const heads = interims.map((line, i) => `HTTP/1.1 ${line}\r\nLink: </${i}.css>; rel=preload\r\nX-\u00e9: no`);
    const sent = heads.map((head) => `${head.replace("X-\u00e9: no", "X-Raw: \u00fc")}\r\n\r\n`);
    world.origin.answer = sent.join("") + OK;
    for (const extra of [[], ["TE: trailers"]]) {
      const answer = await world.ask(world.head("GET / HTTP/1.1", ...extra));
      expect(answer.status).toBe(200);
      expect(answer.interim.map(({ startLine }) => startLine)).toEqual(interims.map((line) => `HTTP/1.1 ${line}`));
      expect(answer.interim.map(({ fields }) => fields)).toEqual(
        interims.map((_line, i) => [
          ["Link", `</${i}.css>; rel=preload`],
          ["X-Raw", "\u00fc"],
        ]),
      );
    }
  });

  it("reach the visitor while the app still works on the answer", async () => {
    let app: OriginConnection | undefined;
    const changes = new Changes();
    world.origin.script = (connection) => {
      app = connection;
      connection.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
      changes.notify();
    };
    const visitor = await world.visit(world.head("GET / HTTP/1.1"));
    expect((await visitor.head())?.startLine).toBe("HTTP/1.1 103 Early Hints");
    app?.write(OK);
    expect((await visitor.answer())?.status).toBe(200);
  });

  it("that nobody asked for break nothing, a 100 included", async () => {
    world.origin.answer = `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${OK}`;
    for (const extra of [[], ["TE: trailers"], []]) {
      const answer = await world.ask(world.head("GET / HTTP/1.1", ...extra));
      expect(answer.status).toBe(200);
      expect(answer.interim.map(statusOf)).toEqual([100, 103]);
    }
  });

  it("are not sent to a visitor of HTTP/1.0, who does not know them", async () => {
    world.origin.answer = `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${OK}`;
    const answer = await world.ask(world.head("GET / HTTP/1.0"));
    expect(answer.status).toBe(200);
    expect(answer.interim).toEqual([]);
  });
});

describe("a request without a body", () => {
  it.each(["POST", "PUT", "DELETE", "PROPFIND"])("arrives as a %s without a word of one", async (method) => {
    let names: string[] = [];
    world.origin.script = (connection, request) => {
      names = request.fields.map(([name]) => name.toLowerCase());
      connection.write(OK);
    };
    const answer = await world.ask(world.head(`${method} / HTTP/1.1`));
    expect(answer.status).toBe(200);
    expect(names).not.toContain("content-length");
    expect(names).not.toContain("transfer-encoding");
  });
});

describe("Expect: 100-continue", () => {
  const head = (): string => world.head("POST /expect HTTP/1.1", "Content-Length: 5", "Expect: 100-continue");

  it("is answered by the app's 100, and the body follows", async () => {
    const changes = new Changes();
    let hasAsked = false;
    let body = "";
    world.origin.script = async (connection, request) => {
      expect(valuesOf(request.fields, "expect")).toEqual(["100-continue"]);
      hasAsked = true;
      changes.notify();
      connection.write("HTTP/1.1 100 Continue\r\n\r\n");
      body = (await connection.reader.body(request, "request")).bytes.toString();
      connection.write(OK);
    };
    const visitor = await world.visit(head());
    const interim = await visitor.head();
    expect(hasAsked).toBe(true);
    expect(interim && statusOf(interim)).toBe(100);
    visitor.send("hello");
    expect((await visitor.answer())?.status).toBe(200);
    expect(body).toBe("hello");
  });

  it("refused by the app means no 100 before the refusal", async () => {
    world.origin.script = (connection) => {
      connection.end("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    const visitor = await world.visit(head());
    const answer = await visitor.answer();
    expect(answer?.status).toBe(413);
    expect(answer?.interim).toEqual([]);
    await world.expectGood();
  });

  it("with the body sent at once works all the same", async () => {
    for (const says100 of [true, false]) {
      const bodies: string[] = [];
      world.origin.script = async (connection, request) => {
        if (says100 && valuesOf(request.fields, "expect").length > 0) connection.write("HTTP/1.1 100 Continue\r\n\r\n");
        bodies.push((await connection.reader.body(request, "request")).bytes.toString());
        connection.write(OK);
      };
      const visitor = await world.visit(`${head()}hello${world.head("GET /next HTTP/1.1")}`);
      const first = await visitor.answer();
      expect(first?.status).toBe(200);
      // Without a 100 the relay may end the connection, but not without saying so (RFC 9112 9.6).
      const isLast = !says100 && first !== undefined && valuesOf(first.fields, "connection").join() === "close";
      expect((await visitor.answer())?.status).toBe(isLast ? undefined : 200);
      expect(bodies).toEqual(isLast ? ["hello"] : ["hello", ""]);
    }
  });
});

describe("an answer without a body", () => {
  it.each([
    ["HEAD", "200 OK", "Content-Length: 1234"],
    ["HEAD", "200 OK", "X-A: b"],
    ["HEAD", "200 OK", "X-A: b\r\nTransfer-Encoding: chunked"],
    ["HEAD", "404 Not Found", "Content-Length: 9"],
    ["GET", "204 No Content", "X-A: b"],
    ["GET", "304 Not Modified", "ETag: x"],
    ["GET", "304 Not Modified", "Content-Length: 1234"],
    ["GET", "205 Reset Content", "Content-Length: 0"],
  ])("to %s, %s with %j: leaves the connection in step", async (method, status, line) => {
    world.origin.answer = (request) => (request.target === "/bare" ? `HTTP/1.1 ${status}\r\n${line}\r\n\r\n` : OK);
    const visitor = await world.visit(world.head(`${method} /bare HTTP/1.1`));
    const bare = await visitor.answer(status.startsWith("205") ? "GET" : "HEAD");
    expect(bare?.startLine).toBe(`HTTP/1.1 ${status}`);
    expect(bare?.raw.toString("latin1")).toContain(line.split("\r\n")[0]);
    visitor.send(world.head("GET /next HTTP/1.1"));
    const next = await visitor.answer();
    expect(next?.status).toBe(200);
    expect(next?.bytes.toString()).toBe("ok");
  });

  it("is not given one by an app that sends it anyway", async () => {
    for (const [method, status] of [
      ["HEAD", "200 OK"],
      ["GET", "304 Not Modified"],
      ["GET", "204 No Content"],
    ]) {
      world.origin.answer = (request) =>
        request.target === "/bare" ? `HTTP/1.1 ${status}\r\nContent-Length: 5\r\nConnection: close\r\n\r\nEXTRA` : OK;
      const visitor = await world.visit(world.head(`${method} /bare HTTP/1.1`) + world.head("GET /next HTTP/1.1"));
      const bare = await visitor.answer("HEAD");
      expect([Number(status?.slice(0, 3)), 502]).toContain(bare?.status);
      if (bare?.status === 502) continue;
      const next = await visitor.answer();
      expect(next?.status).toBe(200);
      expect(next?.bytes.toString()).toBe("ok");
    }
  });
});

describe("trailers", () => {
  it("travel with the request to the app", async () => {
    const before = world.origin.requests.length;
    const answer = await world.ask(
      `${world.head("POST / HTTP/1.1", "Transfer-Encoding: chunked", "Trailer: X-Sum, X-Two")}3\r\nabc\r\n0\r\nX-Sum: 1\u00fc\r\nx-two: 2\r\nX-Sum: 3\r\n\r\n`,
    );
    expect(answer.status).toBe(200);
    const request = world.origin.requests[before];
    expect(request?.bytes.toString()).toBe("abc");
    expect(request?.trailers).toEqual([
      ["X-Sum", "1\u00fc"],
      ["x-two", "2"],
      ["X-Sum", "3"],
    ]);
  });

  it.each([[[]], [["TE: trailers"]]])("travel with the answer to the visitor, asked for with %j", async (lines) => {
    world.origin.answer =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\u00fc\r\nX-Sum: 2\r\n\r\n";
    const answer = await world.ask(world.head("GET / HTTP/1.1", ...lines));
    expect(answer.bytes.toString()).toBe("abc");
    expect(answer.trailers).toEqual([
      ["X-Sum", "1\u00fc"],
      ["X-Sum", "2"],
    ]);
  });

  it.each(["Content-Length: 9", "Host: evil", "Transfer-Encoding: chunked", "Connection: close"])(
    "never carry %j to the app",
    async (line) => {
      const before = world.origin.requests.length;
      await world.ask(
        `${world.head("POST / HTTP/1.1", "Transfer-Encoding: chunked")}1\r\na\r\n0\r\nX-Ok: 1\r\n${line}\r\n\r\n`,
      );
      const names = world.origin.requests[before]?.trailers.map(([name]) => name) ?? [];
      expect(names).not.toContain(line.split(":")[0]);
      await world.expectGood();
    },
  );
});

describe("content codings and ranges", () => {
  it.each(["gzip", "br", "zstd", "deflate", "identity", "x-nobody-knows"])(
    "a body in %s is not touched, nor one in none",
    async (coding) => {
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i)).toString("latin1");
      world.origin.answer = `HTTP/1.1 200 OK\r\nContent-Encoding: ${coding}\r\nContent-Length: 256\r\n\r\n${bytes}`;
      const answer = await world.ask(world.head("GET / HTTP/1.1", "Accept-Encoding: gzip, br"));
      expect(valuesOf(answer.fields, "content-encoding")).toEqual([coding]);
      expect(valuesOf(answer.fields, "content-length")).toEqual(["256"]);
      expect(answer.bytes.toString("latin1")).toBe(bytes);
    },
  );

  it("text that could be compressed is not", async () => {
    const text = "a".repeat(10_000);
    world.origin.answer = `HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 10000\r\n\r\n${text}`;
    const answer = await world.ask(world.head("GET / HTTP/1.1", "Accept-Encoding: gzip, br"));
    expect(answer.bytes.toString()).toBe(text);
    for (const name of ["content-encoding", "vary", "etag"]) expect(valuesOf(answer.fields, name)).toEqual([]);
  });

  it.each(["206 Partial Content", "416 Range Not Satisfiable"])("%s passes with its range", async (status) => {
    world.origin.answer = `HTTP/1.1 ${status}\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nok`;
    const answer = await world.ask(world.head("GET / HTTP/1.1", "Range: bytes=0-1"));
    expect(answer.startLine).toBe(`HTTP/1.1 ${status}`);
    expect(valuesOf(answer.fields, "content-range")).toEqual(["bytes 0-1/9"]);
  });
});

it.each([
  ["broken JSON", "application/json", '{"a":'],
  ["a type that is none", "not a type;;", "x"],
  ["a tab before the type", "\tapplication/json", "{"],
  ["a blank before the type", "  application/json\t", "{"],
  ["multipart with NUL", "multipart/form-data; boundary=a\u00e9", "--a\0\r\n\0\r\n--"],
  ["an empty type", "", "x"],
  ["a body that looks like a prototype", "application/json", '{"__proto__":{"x":1}}'],
])("forwards %s untouched", async (_name, type, body) => {
  const before = world.origin.requests.length;
  for (const method of ["POST", "PUT", "GET"]) {
    const answer = await world.ask(
      `${world.head(`${method} / HTTP/1.1`, `Content-Type:${type === "" ? "" : ` ${type}`}`, `Content-Length: ${body.length}`)}${body}`,
    );
    expect(answer.status).toBe(200);
  }
  for (const request of world.origin.requests.slice(before)) {
    expect(request.bytes.toString("latin1")).toBe(body);
    expect(valuesOf(request.fields, "content-type")).toEqual([type.trim()]);
  }
});

describe("a visitor of HTTP/1.0", () => {
  it.each([
    ["with a length", OK, "ok"],
    ["in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3\r\n!!!\r\n0\r\n\r\n", "ok!!!"],
  ])("gets an answer %s without chunks, and the connection closed", async (_name, text, body) => {
    world.origin.answer = text;
    const visitor = await world.visit(world.head("GET / HTTP/1.0"));
    const answer = await visitor.answer();
    expect(answer?.bytes.toString()).toBe(body);
    expect(answer && valuesOf(answer.fields, "transfer-encoding")).toEqual([]);
    expect(await visitor.ended()).toBe("fin");
  });
});

describe("an app that breaks off", () => {
  const PARTS: Record<string, string> = {
    "with a length": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart",
    "in chunks, between two": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    "in chunks, within one": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\npart",
    "in chunks, before the last line": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n0\r\n",
  };
  for (const [name, text] of Object.entries(PARTS)) {
    it.each(["FIN", "RST"])(`${name}, by %s, breaks the visitor's transfer too`, async (how) => {
      for (const version of ["1.1", "1.0"]) {
        const changes = new Changes();
        let app: OriginConnection | undefined;
        world.origin.script = (connection) => {
          connection.write(text);
          app = connection;
          changes.notify();
        };
        const visitor = await world.visit(world.head(`GET / HTTP/${version}`));
        const head = await visitor.head();
        expect(head && statusOf(head)).toBe(200);
        if (how === "FIN") app?.end();
        else app?.reset();
        const end = await visitor.ended();
        if (head === undefined) throw new Error("no head");
        // Without chunks or length the end of the connection is the end of the body: only a reset says otherwise.
        const isSelfDelimiting =
          valuesOf(head.fields, "transfer-encoding").length + valuesOf(head.fields, "content-length").length > 0;
        if (isSelfDelimiting) expect((await visitor.reader.body(head, "answer")).isWhole).toBe(false);
        else expect(end).toBe("rst");
        await world.expectGood();
      }
    });
  }

  it("by a reset within a body that lasts to the end is broken", async () => {
    world.origin.script = (connection) => connection.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\npart");
    const visitor = await world.visit(world.head("GET / HTTP/1.1"));
    const head = await visitor.head();
    world.origin.connections.at(-1)?.reset();
    if (head === undefined) throw new Error("no head");
    expect((await visitor.reader.body(head, "answer")).isWhole).toBe(false);
  });

  it.each<[string, (connection: OriginConnection) => void, string]>([
    ["by FIN before any answer", (connection) => connection.end(), "ERR_GGROK_UPSTREAM_RESET"],
    ["by RST before any answer", (connection) => connection.reset(), "ERR_GGROK_UPSTREAM_RESET"],
    ["within the head", (connection) => connection.end("HTTP/1.1 200 OK\r\nX-A"), "ERR_GGROK_UPSTREAM"],
    ["with garbage", (connection) => connection.end("garbage\r\n\r\n"), "ERR_GGROK_UPSTREAM_MALFORMED"],
    ["with TLS", (connection) => connection.end("\x15\x03\x01\x00\x02\x02\x46"), "ERR_GGROK_UPSTREAM_MALFORMED"],
    [
      "with two lengths",
      (connection) => connection.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"),
      "ERR_GGROK_UPSTREAM_MALFORMED",
    ],
    [
      "with length and chunks",
      (connection) =>
        connection.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
      "ERR_GGROK_UPSTREAM_MALFORMED",
    ],
    [
      "with NUL in a value",
      (connection) => connection.end("HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n"),
      "ERR_GGROK_UPSTREAM_MALFORMED",
    ],
  ])("%s is 502", async (_name, script, code) => {
    world.origin.script = script;
    const answer = await world.ask(`${world.head("POST / HTTP/1.1", "Content-Length: 2")}hi`);
    expect(answer.status).toBe(502);
    expect(valuesOf(answer.fields, "ggrok-error").join()).toMatch(new RegExp(`^${code}`, "u"));
    await world.expectGood();
  });
});

describe("pipelined requests", () => {
  it("are answered in their order, however long each takes", async () => {
    world.origin.answer = (request) => {
      const body = `for ${request.target} ${request.bytes.toString()}`;
      return `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    };
    const one = fc.record({
      method: fc.constantFrom("GET", "POST", "DELETE"),
      body: fc.string({ unit: fc.constantFrom(..."ab01"), maxLength: 30 }),
      isChunked: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(one, { minLength: 1, maxLength: 20 }), async (requests) => {
        const text = requests.map(({ method, body, isChunked }, i) => {
          const line = `${method} /${i} HTTP/1.1`;
          if (method === "GET" || body === "") return world.head(line);
          if (!isChunked) return `${world.head(line, `Content-Length: ${body.length}`)}${body}`;
          return `${world.head(line, "Transfer-Encoding: chunked")}${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
        });
        const visitor = await world.visit(text.join(""));
        for (const [i, { method, body }] of requests.entries()) {
          expect((await visitor.answer())?.bytes.toString()).toBe(`for /${i} ${method === "GET" ? "" : body}`);
        }
        await visitor[Symbol.asyncDispose]();
      }),
      { numRuns: 30 },
    );
  });
});
