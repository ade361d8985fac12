import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PROXY_LIMITS } from "../../packages/client/src/proxy/limits.ts";
import { valuesOf } from "../harness/byte-reader.ts";
import { eventually, within } from "../harness/deadline.ts";
import type { RawClient } from "../harness/raw-client.ts";
import { ProxyWorld } from "./proxy-world.ts";

// Clients that are not curl: slow ones, stalled ones, ones that pipeline, speak HTTP/1.0 or hang up in the middle.
let world: ProxyWorld;
beforeEach(() => {
  world = new ProxyWorld();
});
afterEach(() => world[Symbol.asyncDispose]());

const GREETING = Buffer.from([5, 1, 0]);

/** A SOCKS5 request to connect, the address as raw bytes behind its type. */
function socksConnect(type: number, address: Buffer, port: number): Buffer {
  return Buffer.concat([Buffer.from([5, 1, 0, type]), address, Buffer.from([port >> 8, port & 255])]);
}

function named(host: string): Buffer {
  return Buffer.concat([Buffer.from([host.length]), Buffer.from(host)]);
}

/** Says the beginning of something a few bytes at a time for as long as it is listened to. */
async function drip(client: RawClient, bytes: Buffer): Promise<void> {
  for (let at = 0; !client.socket.destroyed && client.reader.end === "open"; at = (at + 1) % bytes.length) {
    client.send(bytes.subarray(at, at + 1));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe("a client that pipelines", () => {
  it("is served in order, on one connection to the outside", async () => {
    const ports = new Set<number | undefined>();
    const { port } = await world.http((request, response) => {
      ports.add(request.socket.remotePort);
      setImmediate(() => response.end(request.url));
    });
    const { listener } = await world.proxy();
    const paths = Array.from({ length: 30 }, (_none, index) => `/${index}`);
    const requests = paths.map((path) => `GET http://localhost:${port}${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    const client = await world.dial(listener.port, requests.join(""));
    for (const path of paths) expect((await client.answer())?.bytes.toString()).toBe(path);
    expect(ports.size).toBe(1);
  });

  it("gets its tunnel behind the answers it waits for", async () => {
    const { port } = await world.http((_request, response) => setImmediate(() => response.end("answer")));
    const echo = await world.tcp((socket) => socket.pipe(socket));
    const { listener } = await world.proxy();
    const get = `GET http://localhost:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`;
    const connect = `CONNECT localhost:${echo.port} HTTP/1.1\r\nHost: x\r\n\r\n`;
    const client = await world.dial(listener.port, `${get}${connect}early`);
    expect((await client.answer())?.bytes.toString()).toBe("answer");
    expect((await client.head())?.startLine).toBe("HTTP/1.1 200 Connection established");
    expect((await client.reader.take(5)).toString()).toBe("early");
  });

  it("is hung up on above the bound", async () => {
    const asked = Promise.withResolvers<void>();
    const { port } = await world.http(() => asked.resolve());
    const { listener, proxy } = await world.proxy();
    const get = `GET http://localhost:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`;
    const client = await world.dial(listener.port, get.repeat(PROXY_LIMITS.PIPELINED_REQUESTS_MAX + 1));
    await within("the first request", asked.promise);
    expect(proxy.clients).toBe(1);
    client.send(get);
    await client.reader.ended();
  });
});

describe("a client of HTTP/1.0", () => {
  it("is told apart in Via, and gets an answer without chunks", async () => {
    const vias: (string | undefined)[] = [];
    const { port } = await world.http((request, response) => {
      vias.push(request.headers.via);
      response.write("one,");
      response.end("two");
    });
    const { listener } = await world.proxy();
    const client = await world.dial(listener.port, `GET http://localhost:${port}/ HTTP/1.0\r\n\r\n`);
    const answer = await client.answer();
    expect(answer?.bytes.toString()).toBe("one,two");
    expect(valuesOf(answer?.fields ?? [], "transfer-encoding")).toEqual([]);
    expect(await client.reader.ended()).toBe("fin");
    expect(vias).toEqual([expect.stringMatching(/^1\.0 ggrok-/)]);
  });
});

describe("a request with trailers", () => {
  it("keeps them", async () => {
    const { port } = await world.http((request, response) => {
      request.resume().on("end", () => response.end(JSON.stringify(request.trailers)));
    });
    const { listener } = await world.proxy();
    const client = await world.dial(
      listener.port,
      `POST http://localhost:${port}/ HTTP/1.1\r\nHost: x\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n` +
        "3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n",
    );
    expect((await client.answer())?.bytes.toString()).toBe('{"x-sum":"7"}');
  });
});

describe("a slow client", () => {
  it.each([
    ["a head that never ends", Buffer.from("GET http://a.example/ HTTP/1.1\r\nX-A: aaaaaaaaaaaaaaaa"), 408],
    ["a SOCKS5 greeting of many methods", Buffer.concat([Buffer.from([5, 255]), Buffer.alloc(250)]), undefined],
  ])("loses its connection however steadily it drips %s", async (_what, bytes, status) => {
    const { listener } = await world.proxy({ headTimeoutMs: 1_000 });
    const client = await world.dial(listener.port);
    const dripping = drip(client, bytes);
    expect((await client.answer())?.status).toBe(status);
    await client.reader.ended();
    client.socket.destroy();
    await dripping;
  });

  it("loses it between requests too, unless the next one comes in time", async () => {
    const { port } = await world.http((_request, response) => response.end("ok"));
    const { listener } = await world.proxy({ idleTimeoutMs: 1_500 });
    const get = `GET http://localhost:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`;
    const client = await world.dial(listener.port, get);
    expect((await client.answer())?.status).toBe(200);
    client.send(get);
    expect((await client.answer())?.status).toBe(200);
    const dripping = drip(client, Buffer.from(`GET http://a.example/${"a".repeat(1_000)}`));
    await client.reader.ended();
    client.socket.destroy();
    await dripping;
  });
});

describe("a client that hangs up", () => {
  it("ends its exchange at the destination, in the middle of an answer and before it", async () => {
    for (const isAnswering of [false, true]) {
      const gone = Promise.withResolvers<void>();
      const { server, port } = await world.http((request, response) => {
        if (isAnswering) response.write("beginning");
        request.socket.once("close", () => gone.resolve());
      });
      const { listener } = await world.proxy();
      const asked = once(server, "request");
      const client = await world.dial(listener.port, `GET http://localhost:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
      await within("the request", asked);
      if (isAnswering) await client.reader.through("beginning");
      client.finish();
      await within("the destination to notice", gone.promise);
    }
  });
});

describe("a client that does not read", () => {
  /** An endless source, and how much of it was taken. */
  async function endless(head: string): Promise<{ port: number; taken: () => number }> {
    const block = Buffer.alloc(65_536, "x");
    let count = 0;
    const { port } = await world.tcp((socket) => {
      const pour = (): void => {
        while (!socket.destroyed && count < 1_000_000_000) {
          count += block.length;
          if (!socket.write(block)) return;
        }
      };
      socket.once("data", () => {
        socket.write(head);
        socket.on("drain", pour);
        pour();
      });
    });
    return { port, taken: () => count };
  }

  it.each([
    ["GET", (port: number) => Buffer.from(`GET http://localhost:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)],
    ["CONNECT", (port: number) => Buffer.from(`CONNECT localhost:${port} HTTP/1.1\r\nHost: x\r\n\r\ngo`)],
    [
      "SOCKS5",
      (port: number) => Buffer.concat([GREETING, socksConnect(3, named("localhost"), port), Buffer.from("go")]),
    ],
  ])("holds up its own source alone, with a bound on what is held for it: %s", async (_way, request) => {
    const { port, taken } = await endless("HTTP/1.1 200 OK\r\n\r\n");
    const { listener } = await world.proxy();
    const client = await world.dial(listener.port);
    client.socket.pause();
    client.send(request(port));
    let before = -1;
    let looks = 0;
    await eventually(
      () => `the source to stand still, ${taken()} bytes were taken`,
      () => {
        // 25 looks of 20 ms without a byte.
        looks = taken() > 0 && taken() === before ? looks + 1 : 0;
        before = taken();
        return looks > 25;
      },
    );
    // Almost all of it lies in the kernel's four socket buffers.
    expect(before).toBeLessThan(64 << 20);
    const more = before + 10_000_000;
    client.socket.resume();
    await eventually(
      () => `the source to go on, ${taken()} bytes were taken`,
      () => taken() > more,
    );
  });
});

describe("a destination that does not read", () => {
  it.each([
    [
      "POST",
      (port: number) => `POST http://localhost:${port}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n`,
    ],
    ["CONNECT", (port: number) => `CONNECT localhost:${port} HTTP/1.1\r\nHost: x\r\n\r\n`],
  ])("holds up its own client alone, with a bound on what is held for it: %s", async (_way, head) => {
    const { port } = await world.tcp((socket) => socket.pause());
    const { listener } = await world.proxy();
    const client = await world.dial(listener.port, head(port));
    const block = Buffer.alloc(65_536, "x");
    const pour = (): void => {
      while (client.socket.bytesWritten < 900_000_000 && client.socket.write(block));
    };
    client.socket.on("drain", pour);
    pour();
    let before = -1;
    let looks = 0;
    const sent = (): number => client.socket.bytesWritten - client.socket.writableLength;
    await eventually(
      () => `the client to stand still, it sent ${sent()} bytes`,
      () => {
        looks = sent() === before ? looks + 1 : 0;
        before = sent();
        return looks > 25;
      },
    );
    expect(before).toBeLessThan(64 << 20);
  });
});

describe("SOCKS5 by IPv6", () => {
  it("reaches an address, as bytes and as text", async () => {
    const server: Server = createServer((socket) => socket.on("error", () => {}).pipe(socket));
    server.listen(0, "::1");
    await once(server, "listening");
    world.onEnd(() => server.close());
    const bound = server.address();
    const port = bound !== null && typeof bound === "object" ? bound.port : 0;
    const { listener } = await world.proxy();
    const loopback = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    for (const request of [
      socksConnect(4, loopback, port),
      socksConnect(3, named("::1"), port),
      socksConnect(3, named("[::1]"), port),
    ]) {
      const client = await world.dial(listener.port, Buffer.concat([GREETING, request, Buffer.from("ping")]));
      expect(await client.reader.take(12)).toEqual(Buffer.from([5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
      expect((await client.reader.take(4)).toString()).toBe("ping");
      client.finish();
      await client.reader.ended();
    }
  });
});

describe("a destination that accepts nothing in time", () => {
  it("is a failure on each protocol, with its connection closed", async () => {
    const { listener } = await world.proxy({ connectTimeoutMs: 200, resolve: () => new Promise(() => {}) });
    for (const line of ["GET http://slow.example/ HTTP/1.1", "CONNECT slow.example:443 HTTP/1.1"]) {
      const client = await world.dial(listener.port, `${line}\r\nHost: x\r\n\r\n`);
      const answer = await client.answer();
      const code = valuesOf(answer?.fields ?? [], "ggrok-error");
      expect([answer?.status, code], line).toEqual([504, ["ERR_GGROK_DESTINATION_TIMEOUT"]]);
      await client.reader.ended();
    }
    const socks = Buffer.concat([GREETING, socksConnect(3, named("slow.example"), 80)]);
    const client = await world.dial(listener.port, socks);
    expect([...(await client.reader.rest())].slice(0, 4)).toEqual([5, 0, 5, 6]);
  });
});

describe("a tunnel whose destination ends first", () => {
  it("still takes what the client sends", async () => {
    const got = Promise.withResolvers<string>();
    const { port } = await world.tcp((socket) => {
      let text = "";
      socket.end("all I have");
      socket.on("data", (chunk) => {
        text += chunk.toString("utf8");
      });
      socket.on("end", () => got.resolve(text));
    });
    const { listener, proxy } = await world.proxy();
    const client = await world.dial(listener.port, `CONNECT localhost:${port} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await client.head();
    expect((await client.reader.rest()).toString()).toBe("all I have");
    client.send("and now ");
    client.send("mine");
    client.finish();
    expect(await within("the client's bytes", got.promise)).toBe("and now mine");
    await eventually(
      () => `no client to be left, there are ${proxy.clients}`,
      () => proxy.clients === 0,
    );
  });
});
