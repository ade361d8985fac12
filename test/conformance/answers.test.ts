// Answers of an app that can be read in two ways, or are none: the visitor gets 502 or a broken transfer, never a second reading.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { valuesOf } from "../harness/byte-reader.ts";
import { startWorld, type World } from "../harness/world.ts";

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

// A method that nobody sends again by itself; by a GET the app is asked through the other of the agent's two ways.
const POST = (): string => `${world.head("POST / HTTP/1.1", "Content-Length: 2")}hi`;
const GET = (): string => world.head("GET / HTTP/1.1");

/** The answer of an app that sends these bytes and then ends the connection. */
async function answerTo(
  request: string,
  bytes: string,
): Promise<{ status: number | undefined; isWhole: boolean; code: string; raw: string }> {
  world.origin.script = (connection) => connection.end(bytes);
  const visitor = await world.visit(request);
  const answer = await visitor.answer();
  await visitor[Symbol.asyncDispose]();
  world.origin.script = undefined;
  await world.expectGood();
  return {
    status: answer?.status,
    isWhole: answer?.isWhole ?? false,
    code: valuesOf(answer?.fields ?? [], "ggrok-error").join(),
    raw: `${answer?.raw.toString("latin1") ?? ""}${answer?.bytes.toString("latin1") ?? ""}`,
  };
}

const OK = "HTTP/1.1 200 OK\r\n";
const BODY = "Content-Length: 2\r\n\r\nok";

describe.each([
  ["a POST", POST],
  ["a GET", GET],
])("to %s", (_what, request) => {
  it.each<[string, string]>([
    ["no status line", "garbage\r\n\r\n"],
    ["another protocol", `ICY 200 OK\r\n${BODY}`],
    ["HTTP/1.12", `HTTP/1.12 200 OK\r\n${BODY}`],
    ["no blank before the status", `HTTP/1.1200 OK\r\n${BODY}`],
    ["a status of two digits", `HTTP/1.1 20 OK\r\n${BODY}`],
    ["a status of four digits", `HTTP/1.1 2000 OK\r\n${BODY}`],
    ["a status that is none", `HTTP/1.1 2x0 OK\r\n${BODY}`],
    ["a field without a colon", `${OK}X-A\r\n${BODY}`],
    ["a field without a name", `${OK}: b\r\n${BODY}`],
    ["a blank before the colon", `${OK}X-A : b\r\n${BODY}`],
    ["a blank in a name", `${OK}X A: b\r\n${BODY}`],
    ["a high byte in a name", `${OK}X-\u00e4: b\r\n${BODY}`],
    ["NUL in a name", `${OK}X\0A: b\r\n${BODY}`],
    ["NUL in a value", `${OK}X-A: b\0c\r\n${BODY}`],
    ["CR in a value", `${OK}X-A: b\rX-B: c\r\n${BODY}`],
    ["a length and a coding", `${OK}Transfer-Encoding: chunked\r\n${BODY}`],
    ["two lengths", `${OK}Content-Length: 3\r\n${BODY}`],
    ["a list of lengths", `${OK}Content-Length: 2, 3\r\n\r\nok`],
    ["a negative length", `${OK}Content-Length: -2\r\n\r\nok`],
    ["a length with a sign", `${OK}Content-Length: +2\r\n\r\nok`],
    ["a hexadecimal length", `${OK}Content-Length: 0x2\r\n\r\nok`],
    ["a length with letters", `${OK}Content-Length: 2a\r\n\r\nok`],
    ["a length of 23 digits", `${OK}Content-Length: ${"9".repeat(23)}\r\n\r\nok`],
    ["an empty length", `${OK}Content-Length: \r\n\r\nok`],
    ["a head of 80 KB", `${OK}X-A: ${"a".repeat(80_000)}\r\n${BODY}`],
    ["1,500 fields", `${OK}${"a:b\r\n".repeat(1_500)}${BODY}`],
  ])("%s is 502", async (_name, bytes) => {
    const { status, code, raw } = await answerTo(request(), bytes);
    expect([status, code]).toEqual([502, expect.stringMatching(/^ERR_GGROK_(?:UPSTREAM_MALFORMED|HEAD_INVALID)$/u)]);
    expect(raw).not.toMatch(/^X-B:/imu);
  });

  it.each<[string, string]>([
    ["a coding nobody asked for", `${OK}Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`],
    ["a coding that is none", `${OK}Transfer-Encoding: xchunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`],
    ["chunked not last", `${OK}Transfer-Encoding: chunked, identity\r\n\r\n2\r\nok\r\n0\r\n\r\n`],
    ["a chunk size that is none", `${OK}Transfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n`],
    ["a negative chunk size", `${OK}Transfer-Encoding: chunked\r\n\r\n-2\r\nok\r\n0\r\n\r\n`],
    ["a chunk size of 17 digits", `${OK}Transfer-Encoding: chunked\r\n\r\n${"f".repeat(17)}\r\nok\r\n0\r\n\r\n`],
    ["a chunk longer than its size", `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n`],
    ["chunks without an end", `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n`],
    ["a trailer without a colon", `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\ntrailer\r\n\r\n`],
    ["less than its length", `${OK}Content-Length: 5\r\n\r\nok`],
  ])("%s is 502, a broken transfer, or read the one way the end of the connection allows", async (_name, bytes) => {
    const { status, isWhole, raw } = await answerTo(request(), bytes);
    if (status === 502 || !isWhole) return;
    // RFC 9112 6.3: a coding that is not understood, chunked not last: the end of the connection ends the body.
    expect(status).toBe(200);
    expect(bytes).toMatch(/Transfer-Encoding: (?:gzip, chunked|xchunked|chunked, identity)/u);
    expect(raw).not.toMatch(/^transfer-encoding: (?:gzip|xchunked|chunked, identity)/imu);
  });

  it.each<[string, string]>([
    ["folded over two lines", `${OK}X-A: b\r\n X-B: c\r\n${BODY}`],
    ["with bare line feeds", `HTTP/1.1 200 OK\nX-A: b\nContent-Length: 2\n\nok`],
    ["with a bare CR before the status line", `\rHTTP/1.1 200 OK\r\n${BODY}`],
    ["of HTTP/2.0", `HTTP/2.0 200 OK\r\n${BODY}`],
    ["chunked twice", `${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`],
    ["with a tab in the reason", `HTTP/1.1 200 O\tK\r\n${BODY}`],
  ])("one %s is 502 or one clean answer", async (_name, bytes) => {
    const { status, isWhole, raw } = await answerTo(request(), bytes);
    if (status === 502) return;
    expect([status, isWhole]).toEqual([200, true]);
    expect(raw).not.toMatch(/^X-B:/imu);
    expect(raw.slice(0, raw.indexOf("\r\n\r\n"))).not.toMatch(/(?<!\r)\n|\r(?!\n)/u);
  });
});

describe("what an app sends behind its answer", () => {
  it.each([
    ["a length", `${OK}${BODY}`],
    ["chunks", `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`],
    ["no body", "HTTP/1.1 204 No Content\r\n\r\n"],
    ["no body for HEAD", `${OK}Content-Length: 2\r\n\r\n`],
  ])("with %s is nobody's answer", async (how, answer) => {
    const evil = "HTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 4\r\n\r\nevil";
    const method = how.endsWith("HEAD") ? "HEAD" : "GET";
    for (let round = 0; round < 5; round += 1) {
      world.origin.script = (connection) => connection.write(answer + evil);
      await world.ask(world.head(`${method} / HTTP/1.1`), method);
      world.origin.script = undefined;
      const next = await world.ask(world.head("GET /next HTTP/1.1"));
      expect(next.raw.toString("latin1")).not.toContain("X-Evil");
      expect([200, 502]).toContain(next.status);
    }
    await world.expectGood();
  });
});
