import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { RawAnswer } from "../harness/raw-client.ts";
import { ProxyWorld } from "./proxy-world.ts";

let world: ProxyWorld;
beforeEach(() => {
  world = new ProxyWorld();
});
afterEach(() => world[Symbol.asyncDispose]());

/** An origin that keeps the heads it gets. */
async function origin(): Promise<{ port: number; heads: string[] }> {
  const heads: string[] = [];
  const { port } = await world.tcp((socket) => {
    socket.on("data", (chunk: Buffer) => {
      heads.push(chunk.toString("latin1"));
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\norigin");
    });
  });
  return { port, heads };
}

async function ask(proxyPort: number, startLine: string, ...fields: string[]): Promise<RawAnswer | undefined> {
  const head = `${[`${startLine} HTTP/1.1`, "Host: x", ...fields].join("\r\n")}\r\n\r\n`;
  return await (await world.dial(proxyPort, head)).answer();
}

describe("Max-Forwards", () => {
  it.each(["OPTIONS", "TRACE"])("of %s counts the proxies down, and the last one answers", async (method) => {
    const { port, heads } = await origin();
    const inner = (await world.proxy()).listener;
    const upstream = { scheme: "http", hostname: "127.0.0.1", port: inner.port, label: "inner" } as const;
    const outer = (await world.proxy({ upstream })).listener;
    const url = `http://localhost:${port}/x`;

    expect((await ask(outer.port, `${method} ${url}`, "Max-Forwards: 2"))?.bytes.toString()).toBe("origin");
    expect(heads).toHaveLength(1);
    expect(heads[0]).toMatch(/^Max-Forwards: 0\r$/m);

    const byInner = await ask(outer.port, `${method} ${url}`, "Max-Forwards: 1", "X-A: \xe9");
    expect(byInner).toMatchObject({ status: 200, isWhole: true });
    const seen = byInner?.bytes.toString("latin1") ?? "";
    if (method === "OPTIONS") expect(seen).toBe("");
    else {
      expect(seen.split("\r\n")[0]).toBe(`TRACE ${url} HTTP/1.1`);
      expect(seen).toMatch(/^Max-Forwards: 0\r$/m);
      expect(seen).toMatch(/^X-A: \xe9\r$/m);
      expect(seen).toMatch(/^Via: 1\.1 ggrok-/m);
      expect(seen.endsWith("\r\n\r\n")).toBe(true);
    }
    expect((await ask(outer.port, `${method} ${url}`, "Max-Forwards: 0"))?.status).toBe(200);
    expect(heads).toHaveLength(1);
  });

  it("of another method, or one that is no number, is not the proxy's", async () => {
    const { port, heads } = await origin();
    const { listener } = await world.proxy();
    const url = `http://localhost:${port}/`;
    expect((await ask(listener.port, `GET ${url}`, "Max-Forwards: 0"))?.bytes.toString()).toBe("origin");
    expect((await ask(listener.port, `OPTIONS ${url}`, "Max-Forwards: -1"))?.bytes.toString()).toBe("origin");
    expect(heads[0]).toMatch(/^Max-Forwards: 0\r$/m);
    expect(heads[1]).toMatch(/^Max-Forwards: -1\r$/m);
  });

  it("lets nobody past the login, and its answer repeats none", async () => {
    const { listener } = await world.proxy({ credentials: ["me:secret"] });
    const login = `Proxy-Authorization: Basic ${Buffer.from("me:secret").toString("base64")}`;
    const trace = "TRACE http://a.example/";
    expect((await ask(listener.port, trace, "Max-Forwards: 0"))?.status).toBe(407);
    const secrets = ["Cookie: a=1", "Authorization: Bearer t", login];
    const answer = await ask(listener.port, trace, "Max-Forwards: 0", "X-A: 1", ...secrets);
    expect(answer?.fields).toContainEqual(["Content-Type", "message/http"]);
    expect(answer?.bytes.toString()).toBe(`${trace} HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\nX-A: 1\r\n\r\n`);
  });
});

it("OPTIONS of a URL without a path asks about the whole server, behind another proxy too", async () => {
  const { port, heads } = await origin();
  const inner = (await world.proxy()).listener;
  const upstream = { scheme: "http", hostname: "127.0.0.1", port: inner.port, label: "inner" } as const;
  const outer = (await world.proxy({ upstream })).listener;
  for (const proxy of [inner, outer]) await ask(proxy.port, `OPTIONS http://localhost:${port}`);
  await ask(outer.port, `OPTIONS http://localhost:${port}/`);
  expect(heads.map((head) => head.split("\r\n")[0])).toEqual([
    "OPTIONS * HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "OPTIONS / HTTP/1.1",
  ]);
});
