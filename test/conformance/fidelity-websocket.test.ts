// WebSockets pass end to end: what the two ends agreed on is theirs alone (RFC 6455, RFC 7692).
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { valuesOf } from "../harness/byte-reader.ts";
import { Changes } from "../harness/deadline.ts";
import type { RawClient } from "../harness/raw-client.ts";
import type { OriginConnection } from "../harness/raw-origin.ts";
import { startWorld, type World } from "../harness/world.ts";

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterEach(() => {
  world.origin.script = undefined;
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

const ASKED = [
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Protocol: chat, superchat",
  "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
];
const AGREED = [
  ["Upgrade", "websocket"],
  ["Connection", "Upgrade"],
  ["Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="],
  ["Sec-WebSocket-Protocol", "superchat"],
  ["Sec-WebSocket-Extensions", "permessage-deflate; server_no_context_takeover"],
] as const;
const SWITCH = `HTTP/1.1 101 Switching Protocols\r\n${AGREED.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;

async function open(first = ""): Promise<{ visitor: RawClient; app: OriginConnection; asked: string }> {
  const changes = new Changes();
  let app: OriginConnection | undefined;
  let asked = "";
  world.origin.script = (connection, head) => {
    app = connection;
    asked = head.raw.toString("latin1");
    connection.write(SWITCH + first);
    changes.notify();
    // What follows is not HTTP: the bytes are the test's to read.
    return new Promise(() => {});
  };
  const visitor = await world.visit(world.head("GET /ws HTTP/1.1", ...ASKED));
  const head = await visitor.head();
  expect(head?.startLine).toBe("HTTP/1.1 101 Switching Protocols");
  expect(head?.fields.toSorted()).toEqual(AGREED.toSorted());
  await changes.until("the app to be asked", () => app !== undefined);
  if (app === undefined) throw new Error("unreachable");
  return { visitor, app, asked };
}

const FRAMES: Record<string, Buffer> = {
  "a text frame": Buffer.from("\x81\x02hi", "latin1"),
  "a text in three fragments": Buffer.from("\x01\x01a\x00\x01b\x80\x01c", "latin1"),
  "a ping within a fragmented message": Buffer.from("\x01\x01a\x89\x01p\x80\x01b", "latin1"),
  "a pong nobody asked for": Buffer.from("\x8a\x00", "latin1"),
  "a compressed frame with RSV1": Buffer.from("c107f248cdc9c90700", "hex"),
  "reserved bits and opcodes": Buffer.from("\xf3\x00\xbf\x00", "latin1"),
  "a frame of 70,000 bytes": Buffer.concat([Buffer.from("827f0000000000011170", "hex"), Buffer.alloc(70_000, 0xa5)]),
  "a close with a private code and words": Buffer.from("\x88\x06\x0f\xa0bye!", "latin1"),
};

it.each(Object.entries(FRAMES))("carries %s untouched, both ways", async (_name, bytes) => {
  const { visitor, app } = await open();
  visitor.send(bytes);
  expect((await app.reader.take(bytes.length)).equals(bytes)).toBe(true);
  app.write(bytes);
  expect((await visitor.reader.take(bytes.length)).equals(bytes)).toBe(true);
  visitor.reset();
});

it("carries any bytes in any cuts, both ways", async () => {
  const { visitor, app } = await open();
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 12 }), async (parts) => {
      const whole = Buffer.concat(parts);
      for (const part of parts) {
        visitor.send(Buffer.from(part));
        app.write(Buffer.from(part));
      }
      expect((await app.reader.take(whole.length)).equals(whole)).toBe(true);
      expect((await visitor.reader.take(whole.length)).equals(whole)).toBe(true);
    }),
    { numRuns: 50 },
  );
  visitor.reset();
});

it("asks the app for exactly what the visitor asked for", async () => {
  const { visitor, asked } = await open();
  for (const line of ASKED) expect(asked.split("\r\n")).toContain(line);
  visitor.reset();
});

it("delivers a first frame that came in the packet of the 101", async () => {
  const { visitor } = await open("\x81\x05hello");
  expect((await visitor.reader.take(7)).toString("latin1")).toBe("\x81\x05hello");
  visitor.reset();
});

it.each(["the visitor", "the app"])("tells the other end when %s leaves", async (who) => {
  const { visitor, app } = await open();
  const [leaver, other] = who === "the app" ? [app, visitor] : [visitor, app];
  leaver.reset();
  expect(await other.reader.ended()).not.toBe("open");
  visitor.reset();
  app.reset();
  await world.expectGood();
});

it("passes a refusal on with its body", async () => {
  world.origin.script = (connection) => {
    connection.end("HTTP/1.1 403 Forbidden\r\nX-Why: no\r\nContent-Length: 6\r\nConnection: close\r\n\r\nnot so");
  };
  const answer = await world.ask(world.head("GET /ws HTTP/1.1", ...ASKED));
  expect(answer.status).toBe(403);
  expect(answer.bytes.toString()).toBe("not so");
  expect(valuesOf(answer.fields, "x-why")).toEqual(["no"]);
});
