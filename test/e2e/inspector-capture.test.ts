import { createHash } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { InspectorWorld } from "./inspector-world.ts";

let world: InspectorWorld;
beforeAll(async () => {
  world = await InspectorWorld.start();
});
afterAll(() => world[Symbol.asyncDispose]());

const latin1 = (codes: number[]): string => String.fromCharCode(...codes);
const visible = fc.oneof(fc.integer({ min: 0x21, max: 0x7e }), fc.integer({ min: 0x80, max: 0xff }));
const value = fc
  .array(fc.array(visible, { minLength: 1, maxLength: 12 }).map(latin1), { maxLength: 3 })
  .map((words) => words.join(" "));
const name = fc
  .array(fc.constantFrom(..."aAbBxX09-_.!"), { minLength: 1, maxLength: 6 })
  .map((letters) => `X-${letters.join("")}`);
const fields = fc.array(fc.tuple(name, value), { maxLength: 6 });
const body = fc.oneof(
  { weight: 4, arbitrary: fc.uint8Array({ maxLength: 2_000 }) },
  { weight: 1, arbitrary: fc.tuple(fc.integer({ min: 60_000, max: 700_000 }), fc.nat(255)).map(pattern) },
);
const message = fc.record({
  fields,
  body,
  trailers: fc.array(fc.tuple(name, value), { maxLength: 2 }),
  isChunked: fc.boolean(),
});
const target = fc
  .array(fc.constantFrom(..."aZ0-._~!$&'()*+,;=:@/?", "%00", "%2F", "%ff"), { maxLength: 20 })
  .map((parts) => parts.join(""));

function pattern([length, seed]: [number, number]): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) + seed) & 255);
}

type Message = typeof message extends fc.Arbitrary<infer T> ? T : never;

function lines(pairs: readonly (readonly [string, string])[]): string {
  return pairs.map(([key, text]) => `${key}: ${text}\r\n`).join("");
}

/** Fields in the order in which they are sent, and the bytes behind the start line. */
function build({ fields: own, body: content, trailers, isChunked }: Message): {
  fields: [string, string][];
  bytes: Buffer;
} {
  const framing: [string, string] = isChunked
    ? ["transfer-Encoding", "chunked"]
    : ["Content-length", String(content.length)];
  const all: [string, string][] = [...own, framing];
  const head = Buffer.from(`${lines(all)}\r\n`, "latin1");
  if (!isChunked) return { fields: all, bytes: Buffer.concat([head, content]) };
  const half = content.length >> 1;
  const chunks = [content.subarray(0, half), content.subarray(half)]
    .filter((chunk) => chunk.length > 0)
    .flatMap((chunk) => [Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from("\r\n")]);
  return { fields: all, bytes: Buffer.concat([head, ...chunks, Buffer.from(`0\r\n${lines(trailers)}\r\n`, "latin1")]) };
}

function digest(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

let count = 0;

it("keeps heads, bodies, trailers and interim answers as they were on the wire, whatever they are", async () => {
  const exchange = fc.record({
    method: fc.constantFrom("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"),
    target,
    request: message,
    status: fc.constantFrom(200, 201, 299, 302, 404, 418, 500, 599),
    // UTF-8, as undici reads it: a phrase of other bytes does not reach the record (forward/headers.ts).
    reason: value.map((text) => `Re${Buffer.from(text, "utf8").toString("latin1")}`),
    interim: fc.array(fields, { maxLength: 2 }),
    answer: message,
  });
  await fc.assert(
    fc.asyncProperty(exchange, async (e) => {
      const mark = `mark${++count}end`;
      const asked = build(e.request);
      const answered = build(e.answer);
      const early = e.interim.map((one) => `HTTP/1.1 103 Early Hints\r\n${lines(one)}\r\n`).join("");
      const start = Buffer.from(`${early}HTTP/1.1 ${e.status} ${e.reason}\r\n`, "latin1");
      world.origin.script = async (connection, head) => {
        await connection.reader.body(head, "request");
        connection.write(Buffer.concat([start, answered.bytes]));
      };
      const line = `${e.method} /${e.target}?${mark} HTTP/1.1\r\nHost: ${world.host}\r\n`;
      await world.ask(Buffer.concat([Buffer.from(line), asked.bytes]), e.method);

      const seen = await world.exchange(`text=${mark}`);
      expect(seen).toMatchObject({ outcome: "complete", error: null, kind: "http", replayable: true });
      const { request, response } = seen;
      expect([request.method, request.uri, request.proto]).toEqual([e.method, `/${e.target}?${mark}`, "HTTP/1.1"]);
      expect(ownFields(request.header_list)).toEqual(e.request.fields.flat());
      expect(request.trailer_list).toEqual(e.request.isChunked ? e.request.trailers.flat() : []);
      expect(request.body).toMatchObject({ size: e.request.body.length, sha256: digest(e.request.body), stored: true });
      expect((await world.api(`${seen.uri}/request-body`)).bytes.equals(e.request.body)).toBe(true);

      expect([response.status_code, response.status]).toEqual([e.status, `${e.status} ${e.reason}`]);
      expect(response.header_list).toEqual(answered.fields.flat());
      expect(response.trailer_list).toEqual(e.answer.isChunked ? e.answer.trailers.flat() : []);
      const hints = e.interim.map((one) => ({ status_code: 103, reason: "Early Hints", header_list: one.flat() }));
      expect(response.informational).toEqual(hints);
      expect(response.body).toMatchObject({ size: e.answer.body.length, sha256: digest(e.answer.body), stored: true });
      expect((await world.api(`${seen.uri}/response-body`)).bytes.equals(e.answer.body)).toBe(true);
    }),
    { numRuns: 40, seed: Date.now() % 2 ** 31 },
  );
});

/** What the visitor wrote, without what the relay adds or takes for itself. */
function ownFields(list: string[]): string[] {
  const own: string[] = [];
  for (let i = 0; i < list.length; i += 2) {
    const key = list[i] ?? "";
    if (key.startsWith("X-") && !key.startsWith("X-Forwarded")) own.push(key, list[i + 1] ?? "");
  }
  return own;
}

it("has the same bytes after the agent was started again", async () => {
  const content = Buffer.from(pattern([400_000, 7]));
  world.origin.script = undefined;
  const small = Buffer.from([0, 255, 13, 10, 128]);
  world.origin.answer = `HTTP/1.1 200 OK\r\nContent-Length: ${small.length}\r\n\r\n${small.toString("latin1")}`;
  const head = world.head("POST /kept HTTP/1.1", `Content-Length: ${content.length}`, "X-Dup: 1", "x-dup: 2");
  await world.ask(Buffer.concat([Buffer.from(head), content]));
  const before = await world.exchange("path=/kept");
  world.agent.kill();
  expect(await world.agent.exited).toBe(0);
  await world.startAgent();
  const after = await world.exchange("path=/kept");
  expect(after).toEqual(before);
  expect((await world.api(`${after.uri}/request-body`)).bytes.equals(content)).toBe(true);
  expect((await world.api(`${after.uri}/response-body`)).bytes.equals(small)).toBe(true);
});
