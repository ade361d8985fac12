// Requests whose length can be read in two ways: RFC 9112 6.1 and 6.3.
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

const SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

describe("length and transfer coding together", () => {
  it.each([
    ["CL.TE", ["Content-Length: 6", "Transfer-Encoding: chunked"], `0\r\n\r\n${SMUGGLED}`],
    ["TE.CL", ["Transfer-Encoding: chunked", "Content-Length: 4"], `5c\r\n${SMUGGLED}\r\n0\r\n\r\n`],
    ["with a coding in capitals", ["Content-Length: 6", "Transfer-Encoding: CHUNKED"], `0\r\n\r\n${SMUGGLED}`],
    ["with the length 0", ["Content-Length: 0", "Transfer-Encoding: chunked"], `0\r\n\r\n${SMUGGLED}`],
  ])("%s: is refused or ends the connection, and smuggles nothing", async (_name, lines, body) => {
    const before = world.origin.requests.length;
    const visitor = await world.visit(world.head("POST / HTTP/1.1", ...lines) + body);
    const answer = await visitor.answer();
    expect(await visitor.ended()).not.toBe("open");
    await visitor[Symbol.asyncDispose]();
    await world.expectGood();
    const seen = world.origin.requests.slice(before).map(({ target }) => target);
    expect(seen, `the answer was ${answer?.status}`).not.toContain("/smuggled");
    if (answer?.status !== 200) expect(seen).toEqual(["/good"]);
  });

  it.each([
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
    "Transfer-Encoding:\x0bchunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: chunked;q=1",
    "Transfer-Encoding:",
    "Transfer-Encoding : chunked",
    " Transfer-Encoding: chunked",
  ])("%j: is refused", async (line) => {
    await expectRefused(world, `${world.head("POST / HTTP/1.1", line)}0\r\n\r\n${SMUGGLED}`);
  });

  it("a coding in HTTP/1.0 is refused", async () => {
    await expectRefused(world, `${world.head("POST / HTTP/1.0", "Transfer-Encoding: chunked")}0\r\n\r\n`);
  });
});

describe("Content-Length", () => {
  it.each([
    "5\r\nContent-Length: 6",
    "5\r\nContent-Length: 5",
    "5, 6",
    "5, 5",
    "5,",
    "+5",
    "-5",
    "-0",
    "0x5",
    "5a",
    "1_0",
    "5 5",
    "5.0",
    "5e0",
    "",
    "99999999999999999999999",
    "18446744073709551621",
    "5\0",
    "\x005",
    "\u00b2",
    "5\x0b",
    '"5"',
  ])("%j: is refused", async (value) => {
    await expectRefused(world, `${world.head("POST / HTTP/1.1", `Content-Length: ${value}`)}hello${SMUGGLED}`);
  });

  it("of any form but digits is refused", async () => {
    const value = fc
      .string({ unit: fc.constantFrom(..."0123456789+-_,.; xXaeE\t"), minLength: 1, maxLength: 12 })
      .filter((text) => !/^[ \t]*[0-9]{1,15}[ \t]*$/u.test(text));
    await fc.assert(
      fc.asyncProperty(value, async (text) => {
        await expectRefused(world, `${world.head("POST / HTTP/1.1", `Content-Length: ${text}`)}hello`);
      }),
      { numRuns: 60 },
    );
  });

  it("with leading zeros or blanks around is read as the number it is, or refused", async () => {
    for (const value of ["05", "5 ", "  5"]) {
      const { status, seen } = await sendAndRecover(
        world,
        `${world.head("POST / HTTP/1.1", `Content-Length: ${value}`)}hello`,
      );
      expect([200, 400], `${JSON.stringify(value)} got ${status}`).toContain(status);
      expect(seen).toBe(status === 200 ? 1 : 0);
    }
  });
});

describe("chunks", () => {
  it.each([
    "g\r\nhello\r\n0\r\n\r\n",
    "-5\r\nhello\r\n0\r\n\r\n",
    "+5\r\nhello\r\n0\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    " 5\r\nhello\r\n0\r\n\r\n",
    "5\nhello\n0\n\n",
    "5\r\nhelloX\r\n0\r\n\r\n",
    "5\r\nhell\r\n0\r\n\r\n",
    "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "\r\nhello\r\n0\r\n\r\n",
    "5\rXhello\r\n0\r\n\r\n",
  ])("%j: never reach the app as a whole request", async (body) => {
    const before = world.origin.requests.length;
    const visitor = await world.visit(world.head("POST /broken HTTP/1.1", "Transfer-Encoding: chunked") + body);
    const answer = await visitor.answer();
    await visitor[Symbol.asyncDispose]();
    await world.expectGood();
    expect(answer === undefined || (answer.status >= 400 && answer.status < 503), `got ${answer?.status}`).toBe(true);
    expect(
      world.origin.requests.slice(before).filter(({ isWhole, target }) => isWhole && target === "/broken"),
    ).toEqual([]);
  });

  it("with a 256 KB extension cost next to nothing", async () => {
    const cpu = process.cpuUsage();
    const { status } = await sendAndRecover(
      world,
      `${world.head("POST / HTTP/1.1", "Transfer-Encoding: chunked")}5;${"e".repeat(262_144)}\r\nhello\r\n0\r\n\r\n`,
    );
    const { user, system } = process.cpuUsage(cpu);
    expect(status === undefined || status === 200 || (status >= 400 && status < 500), `got ${status}`).toBe(true);
    expect((user + system) / 1_000, "milliseconds of CPU").toBeLessThan(1_000);
  });

  it("a thousand with 16-byte extensions cost next to nothing, and no extension reaches the app", async () => {
    const before = world.origin.requests.length;
    const cpu = process.cpuUsage();
    const chunks = `1;${"x".repeat(15)}\r\na\r\n`.repeat(1_000);
    const { status, seen } = await sendAndRecover(
      world,
      `${world.head("POST / HTTP/1.1", "Transfer-Encoding: chunked")}${chunks}0\r\n\r\n`,
    );
    const { user, system } = process.cpuUsage(cpu);
    expect((user + system) / 1_000, "milliseconds of CPU").toBeLessThan(1_000);
    if (status === 200) {
      expect(seen).toBe(1);
      expect(world.origin.requests[before]?.bytes.toString()).toBe("a".repeat(1_000));
    } else expect(status === undefined || (status >= 400 && status < 500), `got ${status}`).toBe(true);
  });
});
