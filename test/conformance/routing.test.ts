// Where a request goes: RFC 9112 3.2, first-request routing, open proxies, reflection.

import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { valuesOf } from "../harness/byte-reader.ts";
import { startWorld, type World } from "../harness/world.ts";
import { sendAndRecover } from "./refusal.ts";

let world: World;
beforeAll(async () => {
  world = await startWorld({ relay: { hold: "1ms" } });
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

describe("Host", () => {
  it.each<[string, (host: string) => string]>([
    ["is missing", () => ""],
    ["is empty", () => "Host:\r\n"],
    ["is there twice, equal", (host) => `Host: ${host}\r\nHost: ${host}\r\n`],
    ["is there twice, different", (host) => `Host: ${host}\r\nHost: other.localhost\r\n`],
    ["is a list", (host) => `Host: ${host}, other.localhost\r\n`],
    ["has a blank", (host) => `Host: a ${host}\r\n`],
    ["has a path", (host) => `Host: ${host}/path\r\n`],
    ["has a user", (host) => `Host: evil@${host}\r\n`],
    ["is a list with the app first", (host) => `Host: ${host}, x\r\n`],
    ["is in brackets", () => "Host: [app.localhost]\r\n"],
    ["has an empty label", () => "Host: app..localhost\r\n"],
    ["has NUL", (host) => `Host: app\0.${host}\r\n`],
    ["has a port out of range", () => "Host: app.localhost:99999\r\n"],
    ["has a port that is none", () => "Host: app.localhost:8o\r\n"],
    ["has a query", (host) => `Host: ${host}?x\r\n`],
    ["has a fragment", (host) => `Host: ${host}#x\r\n`],
    ["has a high byte", () => "Host: \u00e4pp.localhost\r\n"],
  ])("that %s is 400 and goes nowhere", async (_name, lines) => {
    const { status, seen } = await sendAndRecover(world, `GET / HTTP/1.1\r\n${lines(world.host)}\r\n`);
    expect(status).toBe(400);
    expect(seen).toBe(0);
  });

  it.each(["APP.LOCALHOST", "app.localhost.", "app.localhost:80"])("%s is the app all the same", async (host) => {
    expect((await world.ask(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`)).status).toBe(200);
  });
});

it("sends each request of a connection where it belongs, not where the first one went", async () => {
  const visitor = await world.visit(world.head("GET /first HTTP/1.1"));
  expect((await visitor.answer())?.status).toBe(200);
  visitor.send("GET /second HTTP/1.1\r\nHost: unknown.localhost\r\n\r\n");
  const second = await visitor.answer();
  expect(second?.status).toBe(404);
  expect(second && valuesOf(second.fields, "ggrok-error")).toEqual(["ERR_GGROK_ENDPOINT_UNKNOWN"]);
  await world.expectGood();
  expect(world.origin.requests.map(({ target }) => target)).not.toContain("/second");
});

it.each([
  "X_Forwarded_For: 6.6.6.6",
  "X.Forwarded.For: 6.6.6.6",
  "x_forwarded-for: 6.6.6.6",
  "X-Forwarded_For: 6.6.6.6",
  "X_Real_IP: 6.6.6.6",
  "X-FORWARDED-FOR: 6.6.6.6\r\nx-Forwarded-for: 7.7.7.7",
  "Forwarded: for=6.6.6.6",
])("%j: is never first in what the relay vouches for", async (line) => {
  await using direct = await startWorld({ relay: { trustProxy: "none" } });
  await direct.ask(direct.head("GET / HTTP/1.1", line));
  const request = await direct.origin.request(0);
  const vouched = request.fields.filter(([name]) =>
    /^(?:x[-_.]forwarded[-_.]for|x[-_.]real[-_.]ip|forwarded)$/iu.test(name),
  );
  for (const [name, value] of vouched) expect(`${name}: ${value}`).not.toMatch(/6\.6\.6\.6|7\.7\.7\.7/u);
  expect(valuesOf(request.fields, "x-forwarded-for")).toEqual(["127.0.0.1"]);
});

it("does not pass an upgrade to h2c on", async () => {
  const answer = await world.ask(
    world.head(
      "GET /h2c HTTP/1.1",
      "Connection: Upgrade, HTTP2-Settings",
      "Upgrade: h2c",
      "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
    ),
  );
  await world.expectGood();
  expect(answer.status).not.toBe(101);
  const request = world.origin.requests.find(({ target }) => target === "/h2c");
  for (const name of ["upgrade", "http2-settings"]) expect(valuesOf(request?.fields ?? [], name)).toEqual([]);
});

describe("CONNECT", () => {
  it("dials nothing, whatever it names", async () => {
    const server = createServer();
    let dialled = 0;
    server.on("connection", (socket) => {
      dialled += 1;
      socket.destroy();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const targets = [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`, world.host, "app.localhost", "app"];
    for (const target of targets) {
      const answer = await world.ask(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`, "GET");
      expect(answer.status, target).toBeGreaterThanOrEqual(400);
      expect(answer.status, target).toBeLessThan(500);
    }
    await world.expectGood();
    expect(dialled).toBe(0);
    server.close();
    await once(server, "close");
  });

  it("is not reached by an absolute target of another host", async () => {
    const before = world.origin.requests.length;
    const answer = await world.ask(world.head("GET http://169.254.169.254/latest HTTP/1.1"));
    expect([400, 404]).toContain(answer.status);
    expect((await world.expectGood()) - before).toBe(0);
  });
});

it.each(["Accept: text/html", "Accept: application/json", "Accept: text/plain", "Accept: */*"])(
  "does not reflect markup of an unknown name, %s",
  async (accept) => {
    for (const [host, path] of [
      ["unknown.localhost", "/<script>alert(1)</script>?<img%20src=x>"],
      ["unknown.localhost", "/%3Cscript%3E\"'><svg/onload=x>"],
      ["<script>x</script>.localhost", "/"],
    ]) {
      const answer = await world.ask(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${accept}\r\n\r\n`);
      expect([400, 404]).toContain(answer.status);
      const text = answer.raw.toString("latin1") + answer.bytes.toString("latin1");
      const isJson = valuesOf(answer.fields, "content-type").join().includes("json");
      if (!isJson) expect(text).not.toMatch(/<script>(?:alert|x)|<img%20|<svg|<img /u);
      expect(valuesOf(answer.fields, "content-type").join()).not.toBe("");
    }
    await world.expectGood();
  },
);

describe("what is not HTTP/1", () => {
  const noise = Buffer.alloc(4_096);
  for (let at = 0, state = 7; at < noise.length; at += 1) {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    noise[at] = state >>> 16;
  }
  it.each<[string, Buffer]>([
    ["an HTTP/2 preface", Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "latin1")],
    ["a TLS ClientHello", Buffer.concat([Buffer.from("16030100f8010000f40303", "hex"), Buffer.alloc(0xf4, 7)])],
    ["4 KB of noise", noise],
    ["an SSH banner", Buffer.from("SSH-2.0-OpenSSH_9.6\r\n")],
  ])("%s is answered or closed within 2 s", async (_name, bytes) => {
    const visitor = await world.visit(bytes);
    const answer = await visitor.answer("GET", 2_000);
    if (answer !== undefined) expect(answer.status).toBeGreaterThanOrEqual(400);
    await visitor.ended(2_500);
    await world.expectGood();
  });
});
