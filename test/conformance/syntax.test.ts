// Fields and lines that are not what RFC 9110 5.5 and RFC 9112 2.2, 3 and 5 allow.
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWorld, type World } from "../harness/world.ts";
import { expectRefused, sendAndRecover } from "./refusal.ts";

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

describe("a field", () => {
  it.each([
    ["NUL in its value", "X-A: a\0b"],
    ["CR in its value", "X-A: a\rb"],
    ["another control character in its value", "X-A: a\x01b"],
    ["DEL in its value", "X-A: a\x7fb"],
    ["NUL in its name", "X\0A: b"],
    ["a space in its name", "X A: b"],
    ["a space behind its name", "X-A : b"],
    ["no name", ": b"],
    ["no colon", "X-A"],
    ["a high byte in its name", "X-\u00e4: b"],
    ["a bracket in its name", "X(A): b"],
  ])("with %s is refused", async (_name, line) => {
    const { status, seen } = await sendAndRecover(world, world.head("GET / HTTP/1.1", line));
    expect(status, JSON.stringify(line)).toBe(400);
    expect(seen).toBe(0);
  });

  it("that goes on in the next line is refused, or becomes one line", async () => {
    const before = world.origin.requests.length;
    const { status } = await sendAndRecover(world, world.head("GET /fold HTTP/1.1", "X-A: one\r\n two"));
    const request = world.origin.requests[before];
    if (status === 200) expect(request?.fields.find(([name]) => name === "X-A")?.[1]).toMatch(/^one +two$/u);
    else expect(status).toBe(400);
  });

  it("with any control character but tab is refused, wherever it stands", async () => {
    const control = fc
      .integer({ min: 0, max: 0x7f })
      .filter((code) => (code < 0x20 && code !== 9 && code !== 10 && code !== 13) || code === 0x7f);
    await fc.assert(
      fc.asyncProperty(control, fc.constantFrom("name", "value", "target", "method"), async (code, place) => {
        const mark = `a${String.fromCharCode(code)}b`;
        const [method, target, name, value] = ["method", "target", "name", "value"].map((each) =>
          each === place ? mark : "x",
        );
        const verb = place === "method" ? `G${method}` : "GET";
        await expectRefused(world, world.head(`${verb} /${target} HTTP/1.1`, `X-${name}: ${value}`));
      }),
      { numRuns: 40 },
    );
  });
});

describe("a line end", () => {
  it.each([
    ["bare LF all through", (host: string) => `GET / HTTP/1.1\nHost: ${host}\n\n`],
    ["bare LF behind the request line", (host: string) => `GET / HTTP/1.1\nHost: ${host}\r\n\r\n`],
    ["bare LF behind a field", (host: string) => `GET / HTTP/1.1\r\nHost: ${host}\nX-A: b\r\n\r\n`],
    ["a space before the first field", (host: string) => `GET / HTTP/1.1\r\n Host: ${host}\r\n\r\n`],
    ["CR X at the end of the head", (host: string) => `GET / HTTP/1.1\r\nHost: ${host}\r\n\rX`],
    ["CR alone", (host: string) => `GET / HTTP/1.1\rHost: ${host}\r\r`],
    // RFC 9112 3 lets a recipient take any run of blanks for one.
    ["two blanks in the request line", (host: string) => `GET  / HTTP/1.1\r\nHost: ${host}\r\n\r\n`],
  ])("%s: the request is refused or one clean request", async (_name, text) => {
    const before = world.origin.requests.length;
    const visitor = await world.visit(text(world.host));
    const answer = await visitor.answer();
    await visitor[Symbol.asyncDispose]();
    await world.expectGood();
    const seen = world.origin.requests.slice(before).filter(({ target }) => target !== "/good");
    if (answer?.status === 200) {
      expect(seen).toHaveLength(1);
      expect(seen[0]?.raw.toString("latin1").replaceAll("\r\n", "")).not.toMatch(/[\r\n]/u);
      expect(seen[0]?.startLine).toBe("GET / HTTP/1.1");
    } else {
      expect(answer === undefined || answer.status === 400, `got ${answer?.status}`).toBe(true);
      expect(seen).toEqual([]);
    }
  });
});

describe("a request line", () => {
  it.each([
    "GET",
    "GET /",
    "GET / HTTP/1.1 x",
    "GET / HTTP/2.0",
    "GET / HTTP/0.9",
    "GET / HTTP/1.2",
    "GET / HTTP/11",
    "GET / http/1.1",
    "G ET / HTTP/1.1",
    "GET\t/ HTTP/1.1",
    "GET / ICE/1.0",
    "get / HTTP/1.1",
    "GET x HTTP/1.1",
    "GET * HTTP/1.1",
    "GET ../ HTTP/1.1",
    "GET /a b HTTP/1.1",
  ])("%j: is refused", async (line) => {
    await expectRefused(world, world.head(line));
  });
});
