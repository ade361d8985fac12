// Heads that are too large, and heads that come slowly.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { pace } from "../harness/deadline.ts";
import { startWorld, type World } from "../harness/world.ts";

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

describe("a head that is too large", () => {
  it.each<[string, number[], (host: string) => string]>([
    ["a field of 100 KB", [431], (host) => `GET / HTTP/1.1\r\nHost: ${host}\r\nX-A: ${"a".repeat(100_000)}\r\n\r\n`],
    ["a target of 100 KB", [414, 431], (host) => `GET /${"a".repeat(100_000)} HTTP/1.1\r\nHost: ${host}\r\n\r\n`],
    ["a target of 20 KB", [414], (host) => `GET /${"a".repeat(20_000)} HTTP/1.1\r\nHost: ${host}\r\n\r\n`],
    ["5,000 fields", [431], (host) => `GET / HTTP/1.1\r\nHost: ${host}\r\n${"a:b\r\n".repeat(5_000)}\r\n`],
    [
      "2 MB without an end",
      [400, 431],
      (host) => `GET / HTTP/1.1\r\nHost: ${host}\r\n${"X-A: bcdefghi\r\n".repeat(140_000)}`,
    ],
    [
      "2 MB of name without an end",
      [400, 431],
      (host) => `GET / HTTP/1.1\r\nHost: ${host}\r\n${"a".repeat(2_000_000)}`,
    ],
    ["2 MB of target without an end", [400, 414, 431], () => `GET /${"a".repeat(2_000_000)}`],
  ])("by %s is refused, then the connection closes, and memory stays flat", async (_name, statuses, text) => {
    const bytes = Buffer.from(text(world.host), "latin1");
    const before = world.origin.requests.length;
    const rss = process.memoryUsage.rss();
    for (let round = 0; round < 10; round += 1) {
      const visitor = await world.visit(bytes);
      const answer = await visitor.answer();
      // A reset may overtake the answer, since the head goes on behind it.
      if (answer !== undefined) expect(statuses).toContain(answer.status);
      await visitor.ended();
      await visitor[Symbol.asyncDispose]();
    }
    expect((process.memoryUsage.rss() - rss) / 1_048_576, "MiB grown").toBeLessThan(64);
    expect((await world.expectGood()) - before).toBe(0);
  });

  it("is told the reason, when it is merely too large", async () => {
    const answer = await world.ask(world.head("GET / HTTP/1.1", `X-A: ${"a".repeat(40_000)}`));
    expect(answer.status).toBe(431);
    await world.expectGood();
  });
});

it("waits for every fragment of a request that comes byte by byte", async () => {
  const text = `${world.head("POST /bytes HTTP/1.1", "Content-Length: 5")}hello`;
  const before = world.origin.requests.length;
  const visitor = await world.visit();
  const whole = new AbortController();
  await pace(1_000, whole.signal, (index) => {
    const byte = text[index];
    if (byte === undefined) whole.abort();
    else visitor.send(byte);
  });
  expect((await visitor.answer())?.status).toBe(200);
  expect(world.origin.requests[before]?.bytes.toString()).toBe("hello");
});

it("waits for the rest behind every prefix of a request", async () => {
  const text = `${world.head("POST /prefix HTTP/1.1", "Transfer-Encoding: chunked", "Trailer: X-T")}5\r\nhello\r\n0\r\nX-T: end\r\n\r\n`;
  const before = world.origin.requests.length;
  // All at once, each with its own cut, so that 500 ms are waited but once.
  const visitors = await Promise.all([...text].slice(1).map((_char, at) => world.visit(text.slice(0, at + 1))));
  const half = new AbortController();
  setTimeout(() => half.abort(), 500);
  await pace(1, half.signal, () => {});
  for (const [at, visitor] of visitors.entries()) visitor.send(text.slice(at + 1));
  const answers = await Promise.all(visitors.map((visitor) => visitor.answer()));
  expect(answers.map((answer) => answer?.status).filter((status) => status !== 200)).toEqual([]);
  const seen = world.origin.requests.slice(before);
  expect(seen).toHaveLength(visitors.length);
  for (const { bytes, trailers } of seen) {
    expect(bytes.toString()).toBe("hello");
    expect(trailers).toEqual([["X-T", "end"]]);
  }
});
