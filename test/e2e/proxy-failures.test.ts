import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PROXY_LIMITS } from "../../packages/client/src/proxy/limits.ts";
import { parseProxyUrl } from "../../packages/client/src/proxy/proxy-url.ts";
import { valuesOf } from "../harness/byte-reader.ts";
import { eventually } from "../harness/deadline.ts";
import { ProxyWorld } from "./proxy-world.ts";

// Whatever fails behind the proxy: an answer on the protocol in use, a closed connection, and nothing left open.
let world: ProxyWorld;
beforeEach(() => {
  world = new ProxyWorld();
});
afterEach(() => world[Symbol.asyncDispose]());

const SOCKS = Buffer.concat([Buffer.from([5, 1, 0, 5, 1, 0, 3, 9]), Buffer.from("a.example"), Buffer.from([0, 80])]);

/** What a request, a CONNECT and a SOCKS5 client hear: status and code, or the reply. */
async function hear(port: number): Promise<unknown[]> {
  const heard: unknown[] = [];
  for (const line of ["GET http://a.example/ HTTP/1.1", "CONNECT a.example:443 HTTP/1.1"]) {
    const client = await world.dial(port, `${line}\r\nHost: x\r\n\r\n`);
    const answer = await client.answer();
    heard.push(`${answer?.status} ${valuesOf(answer?.fields ?? [], "ggrok-error")[0]}`);
    await client.reader.ended();
  }
  const client = await world.dial(port, SOCKS);
  const [, , version, reply] = await client.reader.rest();
  expect(version).toBe(5);
  heard.push(reply);
  return heard;
}

describe("another proxy that", () => {
  it.each([
    ["is not there", "http://127.0.0.1:1"],
    ["is not there (SOCKS5)", "socks5://127.0.0.1:1"],
    ["has a name that does not resolve", "http://proxy.invalid:3128"],
  ])("%s is a failure of its own", async (_what, url) => {
    const { listener } = await world.proxy({ upstream: parseProxyUrl(url) });
    expect(await hear(listener.port)).toEqual([
      "502 ERR_GGROK_UPSTREAM_PROXY_FAILED",
      "502 ERR_GGROK_UPSTREAM_PROXY_FAILED",
      1,
    ]);
  });

  it.each([
    ["http", ""],
    ["socks5", ""],
    ["http", "GET / HTTP/1.1\r\n\r\n"],
    ["socks5", "HTTP/1.1 400 Bad Request\r\n\r\n"],
  ])("accepts a connection as %s and then says %j, too", async (scheme, words) => {
    const other = await world.tcp((socket) => {
      socket.resume().on("end", () => socket.end());
      if (words !== "") socket.write(words);
    });
    const upstream = parseProxyUrl(`${scheme}://127.0.0.1:${other.port}`);
    const { listener, proxy } = await world.proxy({ upstream, connectTimeoutMs: 300 });
    const heard = await Promise.all([
      world.dial(listener.port, "CONNECT a.example:443 HTTP/1.1\r\nHost: x\r\n\r\n").then((client) => client.answer()),
      world.dial(listener.port, SOCKS).then((client) => client.reader.rest()),
    ]);
    expect(heard[0]?.status).toBe(502);
    expect([...heard[1].subarray(0, 4)]).toEqual([5, 0, 5, 1]);
    const connections = (): Promise<number> =>
      new Promise((resolve) => other.server.getConnections((_error, count) => resolve(count)));
    let left = -1;
    await eventually(
      () => `no connection to the other proxy to be left, there are ${left}; ${proxy.clients} clients`,
      () => {
        void connections().then((count) => {
          left = count;
        });
        return left === 0 && proxy.clients === 0;
      },
    );
  });
});

describe("a destination that", () => {
  it.each([
    ["hangs up", "", "RESET"],
    ["answers garbage", "hello there\r\n\r\n", "MALFORMED"],
    [
      "answers with an endless head",
      `HTTP/1.1 200 OK\r\nX: ${"y".repeat(PROXY_LIMITS.HEAD_BYTES_MAX)}\r\n`,
      "MALFORMED",
    ],
    ["switches protocols unasked", "HTTP/1.1 101 Yes\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "MALFORMED"],
    ["half switches them", "HTTP/1.1 101 Yes\r\nUpgrade: x\r\n\r\n", "MALFORMED"],
  ])("%s is named", async (_what, words, failure) => {
    const { port } = await world.tcp((socket) => {
      socket.once("data", () => socket.end(words));
    });
    const { listener } = await world.proxy();
    const client = await world.dial(listener.port, `GET http://localhost:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    const answer = await client.answer();
    const code = valuesOf(answer?.fields ?? [], "ggrok-error")[0];
    expect([answer?.status, code]).toEqual([502, `ERR_GGROK_DESTINATION_${failure}`]);
    await client.reader.ended();
  });

  it.each([
    ["fewer bytes than it said", "Content-Length: 10\r\n\r\nabc"],
    ["half a chunk", "Transfer-Encoding: chunked\r\n\r\n5\r\nab"],
  ])("sends %s breaks the client's transfer too", async (_what, rest) => {
    const { port } = await world.tcp((socket) => {
      socket.once("data", () => socket.end(`HTTP/1.1 200 OK\r\n${rest}`));
    });
    const { listener } = await world.proxy();
    const client = await world.dial(listener.port, `GET http://localhost:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    expect((await client.answer())?.isWhole).toBe(false);
    await client.reader.ended();
  });
});
