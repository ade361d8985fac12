import { describe, expect, it } from "vitest";
import { ReceiveQueue } from "./receive-queue.ts";

const HEADERS = 14;
const SLICE = 16_384;

/** A slice in a read of the socket that carries four, headers in front of each. */
function sliceOf(fill: string, place: number): Buffer {
  const at = place * (HEADERS + SLICE) + HEADERS;
  return Buffer.alloc(4 * (HEADERS + SLICE))
    .subarray(at, at + SLICE)
    .fill(fill);
}

/** Outside memory that the chunks of a queue keep, and their own length; the queue is empty afterwards. */
function drain(queue: ReceiveQueue): { held: number; bytes: number; text: Set<string> } {
  const buffers = new Set<ArrayBufferLike>();
  const text = new Set<string>();
  let bytes = 0;
  for (let chunk = queue.shift(); chunk !== undefined; chunk = queue.shift()) {
    buffers.add(chunk.buffer);
    bytes += chunk.length;
    text.add(chunk.toString("latin1", 0, 1));
  }
  return { held: [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0), bytes, text };
}

describe("ReceiveQueue", () => {
  it("holds what it counts, though every read carries slices of four streams", () => {
    const queue = new ReceiveQueue();
    for (let i = 0; i < 16; i += 1) queue.push(sliceOf("a", i % 4));
    const { held, bytes, text } = drain(queue);
    expect(bytes).toBe(16 * SLICE);
    expect(held).toBe(bytes);
    expect(text).toEqual(new Set(["a"]));
  });

  it("never holds more than twice what waits and the smallest slab", () => {
    const queue = new ReceiveQueue();
    let waiting = 0;
    for (let i = 0; i < 3_000; i += 1) {
      const chunk = Buffer.alloc(1 + ((i * 37) % 90));
      queue.push(chunk);
      waiting += chunk.length;
    }
    const { held, bytes } = drain(queue);
    expect(bytes).toBe(waiting);
    expect(held).toBeLessThanOrEqual(2 * waiting + 1_024);
  });

  it("adds nothing to what the reader has been given", () => {
    const queue = new ReceiveQueue();
    queue.push(Buffer.from("a"));
    const given = queue.shift();
    queue.push(Buffer.from("b"));
    expect(given?.toString()).toBe("a");
    expect(queue.shift()?.toString()).toBe("b");
    expect(queue.shift()).toBeUndefined();
  });

  it("joins small chunks and keeps their order among larger ones", () => {
    const queue = new ReceiveQueue();
    const sent: Buffer[] = [];
    for (let i = 0; i < 200; i += 1) sent.push(Buffer.alloc(i % 50 === 0 ? 20_000 : 1 + (i % 7), i));
    for (const chunk of sent) queue.push(chunk);
    const got: Buffer[] = [];
    for (let chunk = queue.shift(); chunk !== undefined; chunk = queue.shift()) got.push(chunk);
    expect(got.length).toBeLessThan(20);
    expect(Buffer.concat(got).equals(Buffer.concat(sent))).toBe(true);
    expect(queue.isEmpty).toBe(true);
  });
});
