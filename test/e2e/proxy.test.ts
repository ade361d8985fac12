import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { Duplex } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ProxyExchange } from "../../packages/client/src/proxy/exchange-log.ts";
import { createProxy } from "../../packages/client/src/proxy/proxy.ts";
import { valuesOf } from "../harness/byte-reader.ts";
import { eventually, within } from "../harness/deadline.ts";
import type { RawClient } from "../harness/raw-client.ts";
import { ProxyWorld } from "./proxy-world.ts";

let world: ProxyWorld;
beforeEach(() => {
  world = new ProxyWorld();
});
afterEach(() => world[Symbol.asyncDispose]());

const GREETING = Buffer.from([5, 1, 0]);

function socksRequest(host: string, port: number, o: { command?: number; type?: number } = {}): Buffer {
  const name = Buffer.from(host);
  const tail = Buffer.from([port >> 8, port & 255]);
  const command = o.command ?? 1;
  if (o.type === 1) return Buffer.concat([Buffer.from([5, command, 0, 1, ...host.split(".").map(Number)]), tail]);
  return Buffer.concat([Buffer.from([5, command, 0, 3, name.length]), name, tail]);
}

async function errorOf(client: RawClient): Promise<[number, string | undefined]> {
  const answer = await client.answer();
  await client.reader.ended();
  return [answer?.status ?? 0, valuesOf(answer?.fields ?? [], "ggrok-error")[0]];
}

describe("requests in absolute form", () => {
  it("lose the fields of their hop and get Host and Via", async () => {
    const heads: string[][] = [];
    const { port } = await world.http((request, response) => {
      heads.push(request.rawHeaders);
      response.writeHead(200, [
        "X-A",
        "1",
        "Connection",
        "x-hop",
        "X-Hop",
        "2",
        "Keep-Alive",
        "timeout=9",
        "Proxy-Authenticate",
        "Basic",
      ]);
      response.end("ok");
    });
    const { listener } = await world.proxy();
    const client = await world.dial(
      listener.port,
      `GET http://localhost:${port}/x?y HTTP/1.1\r\nHost: other.example\r\nConnection: keep-alive, X-Drop\r\nX-Drop: 1\r\n` +
        "Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nTE: gzip\r\nX-Keep: \xe9\r\nVia: 1.0 before\r\n\r\n",
    );
    const answer = await client.answer();
    expect(answer).toMatchObject({ status: 200, isWhole: true });
    const names = (answer?.fields ?? []).map(([name]) => name.toLowerCase());
    expect(names).toContain("x-a");
    expect(names).not.toContain("x-hop");
    expect(names).not.toContain("proxy-authenticate");
    expect(valuesOf(answer?.fields ?? [], "via")).toEqual(["1.1 ggrok"]);
    const [sent = []] = heads;
    expect(sent.slice(0, 2)).toEqual(["Host", `localhost:${port}`]);
    expect(sent).toContain("\xe9");
    const lower = sent.map((text) => text.toLowerCase());
    for (const gone of ["x-drop", "proxy-connection", "proxy-authorization", "te"]) expect(lower).not.toContain(gone);
    expect(sent.filter((text) => /ggrok-|before/.test(text))).toEqual([
      "1.0 before",
      expect.stringMatching(/^1\.1 ggrok-/),
    ]);
  });

  it("share kept connections among all clients, one exchange at a time", async () => {
    const ports = new Set<number | undefined>();
    const { port, server } = await world.http((request, response) => {
      ports.add(request.socket.remotePort);
      response.end("ok");
    });
    const { listener } = await world.proxy();
    for (let i = 0; i < 5; i++) {
      const client = await world.dial(listener.port, `GET http://localhost:${port}/${i} HTTP/1.1\r\nHost: x\r\n\r\n`);
      expect((await client.answer())?.status).toBe(200);
    }
    expect(ports.size).toBe(1);
    const connections = await new Promise<number>((resolve) => server.getConnections((_e, count) => resolve(count)));
    expect(connections).toBe(1);
  });

  it("serve one client's next request to another destination on the same connection", async () => {
    const first = await world.http((_request, response) => response.end("first"));
    const second = await world.http((_request, response) => response.end("second"));
    const { listener } = await world.proxy();
    const client = await world.dial(listener.port);
    for (const [port, text] of [
      [first.port, "first"],
      [second.port, "second"],
      [first.port, "first"],
    ] as const) {
      client.send(`GET http://localhost:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
      expect((await client.answer())?.bytes.toString()).toBe(text);
    }
  });

  it("survive a kept connection that the destination closed just then", async () => {
    let connections = 0;
    const { port } = await world.tcp((socket) => {
      connections += 1;
      const isFirst = connections === 1;
      let requests = 0;
      socket.on("data", () => {
        requests += 1;
        // The second request on the first connection meets its end.
        if (isFirst && requests === 2) socket.resetAndDestroy();
        else socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      });
    });
    const { listener } = await world.proxy();
    const client = await world.dial(listener.port);
    for (let i = 0; i < 2; i++) {
      client.send(`GET http://localhost:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
      expect((await client.answer())?.status).toBe(200);
    }
    expect(connections).toBe(2);
  });

  it("never end a body cleanly that broke off", async () => {
    const { port } = await world.tcp((socket) => {
      socket.once("data", () => {
        socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", () =>
          socket.resetAndDestroy(),
        );
      });
    });
    const { listener } = await world.proxy();
    const client = await world.dial(listener.port, `GET http://localhost:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    const answer = await client.answer();
    expect(answer?.isWhole).toBe(false);
  });

  it("pass 100 Continue, early hints and trailers on", async () => {
    const { server, port } = await world.http(() => {});
    server.removeAllListeners("request");
    server.on("checkContinue", (request, response) => {
      response.writeEarlyHints({ link: "</a.css>; rel=preload" });
      response.writeContinue();
      request.resume();
      request.on("end", () => {
        response.writeHead(200, { trailer: "x-sum" });
        response.write("body");
        response.addTrailers({ "x-sum": "7" });
        response.end();
      });
    });
    const { listener } = await world.proxy();
    const client = await world.dial(
      listener.port,
      `POST http://localhost:${port}/ HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n`,
    );
    expect((await client.head())?.startLine).toMatch(/ 103 /);
    expect((await client.head())?.startLine).toMatch(/ 100 /);
    client.send("abc");
    const answer = await client.answer();
    expect(answer?.bytes.toString()).toBe("body");
    expect(answer?.trailers).toEqual([["x-sum", "7"]]);
  });

  it("answer an upload early and let the connection go", async () => {
    const { port } = await world.tcp((socket) => {
      socket.once("data", () => socket.write("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"));
    });
    const { listener } = await world.proxy();
    const client = await world.dial(
      listener.port,
      `POST http://localhost:${port}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\nabc`,
    );
    expect(await client.answer()).toMatchObject({ status: 413, isWhole: true });
  });

  it("come back as 508 when they go round in a circle", async () => {
    const inner = await world.proxy();
    const outer = await world.proxy({
      upstream: { scheme: "http", hostname: "127.0.0.1", port: inner.listener.port, label: "inner" },
    });
    // The inner one sends all it gets to the outer one.
    const { port } = await world.tcp((socket) => {
      socket.once("data", (chunk) => {
        const via = /^Via: (.*)\r$/m.exec(chunk.toString("latin1"))?.[1] ?? "";
        void (async () => {
          const again = await world.dial(
            outer.listener.port,
            `GET http://a.example/ HTTP/1.1\r\nHost: x\r\nVia: ${via}\r\n\r\n`,
          );
          expect(await errorOf(again)).toEqual([508, "ERR_GGROK_LOOP_DETECTED"]);
          const connect = await world.dial(
            outer.listener.port,
            `CONNECT a.example:443 HTTP/1.1\r\nHost: x\r\nVia: ${via}\r\n\r\n`,
          );
          expect(await errorOf(connect)).toEqual([508, "ERR_GGROK_LOOP_DETECTED"]);
          socket.end("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        })();
      });
    });
    const client = await world.dial(outer.listener.port, `GET http://127.0.0.1:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    expect((await client.answer())?.status).toBe(200);
  });

  it.each([
    ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "REQUEST_MALFORMED"],
    ["GET https://a.example/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, "REQUEST_MALFORMED"],
    ["GET http://u:p@a.example/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, "REQUEST_MALFORMED"],
    ["GET http://a.example:0/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, "REQUEST_MALFORMED"],
    [
      "GET http://a.example/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
      400,
      "REQUEST_MALFORMED",
    ],
    ["GET http://a.example/ HTTP/1.1\r\nHo st: x\r\n\r\n", 400, "REQUEST_MALFORMED"],
    ["CONNECT a.example HTTP/1.1\r\nHost: x\r\n\r\n", 400, "REQUEST_MALFORMED"],
    ["CONNECT a.example:70000 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "REQUEST_MALFORMED"],
    ["CONNECT http://a.example:80/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, "REQUEST_MALFORMED"],
    ["hello there\r\n\r\n", 400, "REQUEST_MALFORMED"],
    [`GET http://a.example/ HTTP/1.1\r\nX: ${"y".repeat(40_000)}\r\n\r\n`, 431, "REQUEST_HEADERS_TOO_LARGE"],
    [`CONNECT a.example:443 HTTP/1.1\r\nX: ${"y".repeat(40_000)}\r\n\r\n`, 431, "REQUEST_HEADERS_TOO_LARGE"],
  ])("are refused and the connection closed: %j", async (text, status, code) => {
    const { listener } = await world.proxy();
    const client = await world.dial(listener.port, text);
    expect(await errorOf(client)).toEqual([status, `ERR_GGROK_${code}`]);
  });
});

describe("CONNECT", () => {
  it("carries bytes both ways, each direction to its own end", async () => {
    const { port } = await world.tcp((socket) => {
      const hash = createHash("sha256");
      socket.on("data", (chunk) => hash.update(chunk));
      socket.on("end", () => socket.end(hash.digest("hex")));
    });
    const { listener } = await world.proxy();
    const early = Buffer.from("sent before the answer");
    const body = randomBytes(5_000_000);
    const head = Buffer.from(`CONNECT localhost:${port} HTTP/1.1\r\nHost: x\r\n\r\n`);
    const client = await world.dial(listener.port, Buffer.concat([head, early]));
    expect((await client.head())?.startLine).toBe("HTTP/1.1 200 Connection established");
    client.send(body);
    client.finish();
    const expected = createHash("sha256").update(early).update(body).digest("hex");
    expect((await client.reader.rest()).toString()).toBe(expected);
    expect(client.reader.end).toBe("fin");
  });

  it("passes a broken connection on as one, in both directions", async () => {
    let upstream: import("node:net").Socket | undefined;
    const { port } = await world.tcp((socket) => {
      upstream = socket;
      socket.write("hi");
    });
    const { listener } = await world.proxy();
    const head = `CONNECT localhost:${port} HTTP/1.1\r\nHost: x\r\n\r\n`;
    const first = await world.dial(listener.port, head);
    await first.reader.through("hi");
    upstream?.resetAndDestroy();
    expect(await first.reader.ended()).toBe("rst");
    const second = await world.dial(listener.port, head);
    await second.reader.through("hi");
    const broken = new Promise((resolve) => upstream?.once("close", resolve));
    upstream?.resume();
    second.reset();
    await within("the break", broken);
  });

  it("answers what failed before a byte has passed", async () => {
    const { listener } = await world.proxy({
      connectTimeoutMs: 300,
      resolve: async (name) => {
        if (name === "slow.example") await new Promise(() => {});
        throw Object.assign(new Error("no"), { code: "ENOTFOUND" });
      },
    });
    const ask = async (to: string) =>
      errorOf(await world.dial(listener.port, `CONNECT ${to} HTTP/1.1\r\nHost: x\r\n\r\n`));
    expect(await ask("127.0.0.1:1")).toEqual([502, "ERR_GGROK_DESTINATION_UNREACHABLE"]);
    expect(await ask("none.example:1")).toEqual([502, "ERR_GGROK_DESTINATION_UNKNOWN"]);
    expect(await ask("slow.example:1")).toEqual([504, "ERR_GGROK_DESTINATION_TIMEOUT"]);
  });
});

describe("SOCKS5", () => {
  it("connects by name and by address, and keeps what follows the request", async () => {
    const { port } = await world.tcp((socket) => socket.pipe(socket));
    const { listener } = await world.proxy();
    for (const request of [socksRequest("localhost", port), socksRequest("127.0.0.1", port, { type: 1 })]) {
      const client = await world.dial(listener.port, Buffer.concat([GREETING, request, Buffer.from("ping")]));
      expect(await client.reader.take(12)).toEqual(Buffer.from([5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
      expect((await client.reader.take(4)).toString()).toBe("ping");
      client.finish();
      expect(await client.reader.ended()).toBe("fin");
    }
  });

  it("takes a conversation byte by byte", async () => {
    const { port } = await world.tcp((socket) => socket.end("hello"));
    const { listener } = await world.proxy({ credentials: ["ann:pw"] });
    const client = await world.dial(listener.port);
    const login = Buffer.from([1, 3, ...Buffer.from("ann"), 2, ...Buffer.from("pw")]);
    for (const byte of Buffer.concat([Buffer.from([5, 2, 0, 2]), login, socksRequest("localhost", port)])) {
      client.send(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    expect(await client.reader.take(14)).toEqual(Buffer.from([5, 2, 1, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
    expect((await client.reader.rest()).toString()).toBe("hello");
  });

  it.each([
    ["no method in common", Buffer.from([5, 1, 9]), [5, 0xff]],
    ["no methods at all", Buffer.from([5, 0]), [5, 0xff]],
    ["BIND", Buffer.concat([GREETING, socksRequest("localhost", 1, { command: 2 })]), [5, 0, 5, 7]],
    ["UDP", Buffer.concat([GREETING, socksRequest("localhost", 1, { command: 3 })]), [5, 0, 5, 7]],
    ["an unknown kind of address", Buffer.concat([GREETING, Buffer.from([5, 1, 0, 2, 0, 0])]), [5, 0, 5, 8]],
    ["port 0", Buffer.concat([GREETING, socksRequest("localhost", 0)]), [5, 0, 5, 1]],
    ["a name with a line end", Buffer.concat([GREETING, socksRequest("a\r\nb", 80)]), [5, 0, 5, 1]],
    ["an empty name", Buffer.concat([GREETING, socksRequest("", 80)]), [5, 0, 5, 1]],
    ["a port nobody listens on", Buffer.concat([GREETING, socksRequest("127.0.0.1", 1)]), [5, 0, 5, 5]],
    ["a name that does not resolve", Buffer.concat([GREETING, socksRequest("none.invalid", 80)]), [5, 0, 5, 4]],
  ])("answers %s and closes", async (_what, bytes, expected) => {
    const { listener } = await world.proxy();
    const client = await world.dial(listener.port, bytes);
    const said = await client.reader.rest();
    expect([...said.subarray(0, expected.length)]).toEqual(expected);
    expect(client.reader.end).toBe("fin");
  });

  it.each([
    ["a wrong password", [1, 3, 97, 110, 110, 1, 120], [5, 2, 1, 1]],
    ["a login of another version", [9, 3, 97, 110, 110, 1, 120], [5, 2]],
  ])("refuses %s", async (_what, login, expected) => {
    const { listener } = await world.proxy({ credentials: ["ann:pw"] });
    const client = await world.dial(listener.port, Buffer.from([5, 1, 2, ...login]));
    expect([...(await client.reader.rest())]).toEqual(expected);
  });

  it("refuses who offers no login where one is required", async () => {
    const { listener } = await world.proxy({ credentials: ["ann:pw"] });
    const client = await world.dial(listener.port, GREETING);
    expect([...(await client.reader.rest())]).toEqual([5, 0xff]);
  });

  it("closes on clients that end in the middle", async () => {
    const { listener, proxy } = await world.proxy();
    const whole = Buffer.concat([GREETING, socksRequest("localhost", 1)]);
    for (let length = 1; length < whole.length - 1; length++) {
      const client = await world.dial(listener.port, whole.subarray(0, length));
      client.finish();
      await client.reader.ended();
    }
    await eventually(
      () => `no client to be left, there are ${proxy.clients}`,
      () => proxy.clients === 0,
    );
  });

  it("hangs up on SOCKS4, on TLS and on noise", async () => {
    const { listener } = await world.proxy();
    const socks4 = await world.dial(listener.port, Buffer.from([4, 1, 0, 80, 127, 0, 0, 1, 0]));
    expect([...(await socks4.reader.rest())]).toEqual([0, 0x5b, 0, 0, 0, 0, 0, 0]);
    for (const noise of ["\x16\x03\x01\x02\x00\x01", "\x00\x00", "\xff\xff"]) {
      const client = await world.dial(listener.port, noise);
      expect(await client.reader.rest()).toHaveLength(0);
    }
  });
});

describe("an exposed proxy", () => {
  const exposed = (resolve?: (name: string) => Promise<{ address: string; family: number }[]>) =>
    world.proxy({ isPublicOnly: true, ...(resolve !== undefined && { resolve }) });

  it("refuses private and local addresses, however they are written", async () => {
    const { port } = await world.http((_request, response) => response.end("secret"));
    const { listener } = await exposed();
    const hosts = [
      "127.0.0.1",
      "localhost",
      "x.localhost",
      "0x7f.1",
      "2130706433",
      "127.1",
      "[::1]",
      "[::ffff:127.0.0.1]",
      "0.0.0.0",
    ];
    for (const host of hosts) {
      const plain = await world.dial(listener.port, `GET http://${host}:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
      expect(await errorOf(plain), host).toEqual([403, "ERR_GGROK_DESTINATION_FORBIDDEN"]);
      const connect = await world.dial(listener.port, `CONNECT ${host}:${port} HTTP/1.1\r\nHost: x\r\n\r\n`);
      expect(await errorOf(connect), host).toEqual([403, "ERR_GGROK_DESTINATION_FORBIDDEN"]);
      const socks = await world.dial(
        listener.port,
        Buffer.concat([GREETING, socksRequest(host.replace(/[[\]]/g, ""), port)]),
      );
      expect([...(await socks.reader.rest())].slice(0, 4), host).toEqual([5, 0, 5, 2]);
    }
  });

  it("refuses a public name that leads to a private address, and asks the resolver once", async () => {
    const asked: string[] = [];
    const { port } = await world.http((_request, response) => response.end("secret"));
    const { listener } = await exposed(async (name) => {
      asked.push(name);
      // The second answer would be another one: nobody may ask for it.
      return [{ address: asked.length === 1 ? "127.0.0.1" : "1.1.1.1", family: 4 }];
    });
    const client = await world.dial(listener.port, `GET http://rebind.example:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    expect(await errorOf(client)).toEqual([403, "ERR_GGROK_DESTINATION_FORBIDDEN"]);
    expect(asked).toEqual(["rebind.example"]);
  });

  it("connects to the address that was checked, not to what the name says later", async () => {
    const { port } = await world.http((_request, response) => response.end("right"));
    let asked = 0;
    const { listener } = await world.proxy({
      resolve: async () => {
        asked += 1;
        return [{ address: asked === 1 ? "127.0.0.1" : "127.0.0.9", family: 4 }];
      },
    });
    const client = await world.dial(listener.port, `GET http://once.example:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    expect((await client.answer())?.bytes.toString()).toBe("right");
    expect(asked).toBe(1);
  });

  it("keeps guarding in front of another proxy", async () => {
    const seen: string[] = [];
    const { port } = await world.tcp((socket) => {
      socket.once("data", (chunk) => {
        seen.push(chunk.toString("latin1").split("\r\n")[0] ?? "");
        socket.end("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
      });
    });
    const { listener } = await world.proxy({
      isPublicOnly: true,
      upstream: { scheme: "http", hostname: "127.0.0.1", port, label: "http://inner" },
      resolve: async (name) => {
        if (name === "inside.example") return [{ address: "10.0.0.1", family: 4 }];
        throw Object.assign(new Error("unknown here"), { code: "ENOTFOUND" });
      },
    });
    for (const host of ["10.0.0.1", "inside.example"]) {
      const refused = await world.dial(listener.port, `CONNECT ${host}:443 HTTP/1.1\r\nHost: x\r\n\r\n`);
      expect(await errorOf(refused)).toEqual([403, "ERR_GGROK_DESTINATION_FORBIDDEN"]);
    }
    const passed = await world.dial(listener.port, "CONNECT only-there.example:443 HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(await errorOf(passed)).toEqual([502, "ERR_GGROK_UPSTREAM_PROXY_FAILED"]);
    expect(seen).toEqual(["CONNECT only-there.example:443 HTTP/1.1"]);
  });
});

describe("the proxy as a whole", () => {
  it("answers 407 without a login, over CONNECT too, and closes", async () => {
    const { listener } = await world.proxy({ credentials: ["ann:pw"] });
    for (const line of ["GET http://a.example/ HTTP/1.1", "CONNECT a.example:443 HTTP/1.1"]) {
      const client = await world.dial(listener.port, `${line}\r\nHost: x\r\n\r\n`);
      const answer = await client.answer();
      expect(answer?.status).toBe(407);
      expect(valuesOf(answer?.fields ?? [], "proxy-authenticate")).toEqual([
        'Basic realm="ggrok proxy", charset="UTF-8"',
      ]);
      await client.reader.ended();
    }
  });

  it("takes any stream of bytes for a client", async () => {
    const { port } = await world.http((_request, response) => response.end("through a duplex"));
    const proxy = createProxy({ isPublicOnly: false });
    const out: Buffer[] = [];
    const arrived = Promise.withResolvers<void>();
    const client = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        out.push(chunk);
        if (Buffer.concat(out).includes("through a duplex")) arrived.resolve();
        done();
      },
    });
    proxy.handle(client);
    client.push(`GET http://localhost:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    await within("the answer", arrived.promise);
    const tunnelled: Buffer[] = [];
    const echoed = Promise.withResolvers<void>();
    const echo = await world.tcp((socket) => socket.pipe(socket));
    const second = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        tunnelled.push(chunk);
        if (Buffer.concat(tunnelled).includes("echo me")) echoed.resolve();
        done();
      },
    });
    proxy.handle(second);
    second.push(Buffer.concat([GREETING, socksRequest("localhost", echo.port), Buffer.from("echo me")]));
    await within("the echo", echoed.promise);
    await proxy.close(0);
    expect([client.destroyed, second.destroyed, proxy.clients]).toEqual([true, true, 0]);
  });

  it("gives up on slow clients: 408 over HTTP, a closed connection else", async () => {
    const { listener } = await world.proxy({ headTimeoutMs: 1_000 });
    const slow = await world.dial(listener.port, "GET http://a.example/ HTTP/1.1\r\nHos");
    expect(await errorOf(slow)).toEqual([408, "ERR_GGROK_REQUEST_TIMEOUT"]);
    for (const start of [Buffer.alloc(0), Buffer.from([5]), Buffer.from([5, 1, 0, 5, 1])]) {
      const client = await world.dial(listener.port, start);
      await client.reader.ended();
    }
  });

  it("gives a tunnel and a waiting exchange all the time they want", async () => {
    const held = Promise.withResolvers<() => void>();
    const { port } = await world.http((_request, response) => held.resolve(() => response.end("late")));
    const echo = await world.tcp((socket) => socket.pipe(socket));
    const { listener } = await world.proxy({ headTimeoutMs: 1_000 });
    const tunnel = await world.dial(listener.port, `CONNECT localhost:${echo.port} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await tunnel.head();
    const socks = await world.dial(listener.port, Buffer.concat([GREETING, socksRequest("localhost", echo.port)]));
    await socks.reader.take(12);
    const waiting = await world.dial(listener.port, `GET http://localhost:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    const finish = await held.promise;
    // A client that came later and is too slow has been closed by now: their time would have run out before.
    const slow = await world.dial(listener.port, "GET ");
    await slow.reader.ended();
    finish();
    expect((await waiting.answer())?.bytes.toString()).toBe("late");
    for (const client of [tunnel, socks]) {
      client.send("ping");
      expect((await client.reader.take(4)).toString()).toBe("ping");
    }
  });

  it("says when it is full, on the protocol in use, and takes clients again afterwards", async () => {
    const { port } = await world.tcp((socket) => socket.pipe(socket));
    const { listener, proxy } = await world.proxy({ clientsMax: 1 });
    const first = await world.dial(listener.port, `CONNECT localhost:${port} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await first.head();
    const http = await world.dial(listener.port, "GET http://a.example/ HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(await errorOf(http)).toEqual([503, "ERR_GGROK_PROXY_OVERLOADED"]);
    const socks = await world.dial(listener.port, GREETING);
    expect([...(await socks.reader.rest())]).toEqual([5, 0xff]);
    first.finish();
    await eventually(
      () => `all clients to be gone, there are ${proxy.clients}`,
      () => proxy.clients === 0,
    );
    const next = await world.dial(listener.port, `CONNECT localhost:${port} HTTP/1.1\r\nHost: x\r\n\r\n`);
    expect((await next.head())?.startLine).toMatch(/ 200 /);
  });

  it("lets open exchanges end while it closes, and closes idle clients at once", async () => {
    const held = Promise.withResolvers<() => void>();
    const { port } = await world.http((_request, response) => held.resolve(() => response.end("done")));
    const { listener, proxy } = await world.proxy();
    const idle = await world.dial(listener.port);
    const busy = await world.dial(listener.port, `GET http://localhost:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    const finish = await held.promise;
    const closed = proxy.close(10_000);
    await idle.reader.ended();
    finish();
    expect((await busy.answer())?.bytes.toString()).toBe("done");
    await within("the proxy's end", closed);
    expect(proxy.clients).toBe(0);
  });

  it("reports each exchange once, with what passed", async () => {
    const exchanges: ProxyExchange[] = [];
    const { port } = await world.http((_request, response) => response.end("12345"));
    const echo = await world.tcp((socket) => socket.pipe(socket));
    const { listener } = await world.proxy({ onExchange: (exchange) => exchanges.push(exchange) });
    const plain = await world.dial(
      listener.port,
      `POST http://localhost:${port}/a?secret=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc`,
    );
    await plain.answer();
    plain.finish();
    const tunnel = await world.dial(listener.port, `CONNECT localhost:${echo.port} HTTP/1.1\r\nHost: x\r\n\r\nping`);
    await tunnel.reader.through("ping");
    tunnel.finish();
    await tunnel.reader.ended();
    await eventually(
      () => `two exchanges, there are ${exchanges.length}`,
      () => exchanges.length === 2,
    );
    expect(exchanges).toMatchObject([
      { protocol: "http", method: "POST", target: `http://localhost:${port}/a`, status: 200, bytesIn: 3, bytesOut: 5 },
      {
        protocol: "connect",
        method: "CONNECT",
        target: `localhost:${echo.port}`,
        status: 200,
        bytesIn: 4,
        bytesOut: 4,
      },
    ]);
  });

  it("ends its connection to the destination when the client goes", async () => {
    const gone = Promise.withResolvers<void>();
    const { server, port } = await world.http((request) => request.socket.once("close", () => gone.resolve()));
    const { listener } = await world.proxy();
    const client = await world.dial(listener.port, `GET http://localhost:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    await once(server, "request");
    client.reset();
    await within("the destination to notice", gone.promise);
  });
});
