import type { Writable } from "node:stream";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as ws from "ws";
import { maskedBytes, maskFrame } from "./mask.ts";
import { takeSlab } from "./slab-pool.ts";

// Exported by ws, missing in its types.
const { Receiver } = ws as unknown as { Receiver: new (options: { isServer: boolean }) => Writable };

/** What ws makes of a frame that a client sent. */
function receive(frame: Buffer): Buffer {
  const receiver = new Receiver({ isServer: true });
  let message: Buffer | undefined;
  receiver.on("message", (data: Buffer) => {
    message = Buffer.from(data);
  });
  receiver.write(frame);
  if (message === undefined) throw new Error("no message");
  return message;
}

describe("maskFrame", () => {
  it("is read back by ws as it was, at every length", () => {
    const target = Buffer.alloc(200_000);
    const lengths = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.constantFrom(125, 126, 127, 65_535, 65_536, 131_082));
    fc.assert(
      fc.property(lengths, fc.integer({ min: 0, max: 131_082 }), fc.nat(100), (length, cut, start) => {
        const payload = Buffer.alloc(length);
        for (let i = 0; i < length; i += 1) payload[i] = (i * 31 + start) & 0xff;
        const at = Math.min(cut, length);
        const frame = maskFrame(target, start * 8, payload.subarray(0, at), payload.subarray(at));
        expect(receive(Buffer.from(frame)).equals(payload)).toBe(true);
      }),
    );
  });

  it("uses another key each time", () => {
    const target = Buffer.alloc(64);
    const keys = new Set<number>();
    for (let i = 0; i < 5_000; i += 1) keys.add(maskFrame(target, 0, Buffer.from("x"), undefined).readUInt32BE(2));
    expect(keys.size).toBeGreaterThan(4_990);
  });
});

describe("Slab", () => {
  it("is used again only after every write has ended", () => {
    const first = takeSlab(100);
    first.use(maskedBytes(10));
    first.use(maskedBytes(10));
    first.letGo();
    first.released();
    const second = takeSlab(100);
    expect(second.buffer).not.toBe(first.buffer);
    first.released();
    expect(takeSlab(100).buffer).toBe(first.buffer);
  });
});
