import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { FRAME_HEADER_BYTES, type FrameType, putFrameHeader } from "./frame.ts";
import { type MessageVector, type PayloadVector, readVectors } from "./vectors.testing.ts";

/** Seed of a fuzz run: GGROK_SEED repeats one, else the clock. */
export function fuzzSeed(): number {
  const given = process.env["GGROK_SEED"];
  const seed = given === undefined ? Date.now() >>> 0 : Number(given) >>> 0;
  console.info(`GGROK_SEED=${seed} repeats this run`);
  return seed;
}

// The flag makes `gc` appear in contexts made after it, so the test process needs no switch of its own.
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Heap and buffers in use after a collection, in bytes. */
export function liveBytes(): number {
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** Makes random and mutated messages; the same seed makes the same ones. */
export class Fuzzer {
  #state: number;
  readonly #corpus: readonly Buffer[];
  readonly #payloads: readonly Buffer[];

  constructor(seed: number) {
    this.#state = seed;
    this.#corpus = readVectors<MessageVector>("messages.json").map((vector) => Buffer.from(vector.hex, "hex"));
    this.#payloads = readVectors<PayloadVector>("payloads.json").map((vector) => Buffer.from(vector.hex, "hex"));
  }

  /** A number from 0 to `below` - 1 (mulberry32). */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b_79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  }

  /** One of the values. */
  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T;
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    for (let i = 0; i < length; i += 1) bytes[i] = this.below(256);
    return bytes;
  }

  /** A payload of the vectors, whole or changed, or random bytes. */
  payload(): Buffer {
    return this.below(4) === 0 ? this.bytes(this.below(80)) : this.mutate(this.pick(this.#payloads));
  }

  /** A frame with plausible values, one of which may be wrong. */
  frame(): Buffer {
    const payload = this.payload();
    const header = Buffer.alloc(FRAME_HEADER_BYTES);
    const stream = this.pick([0, 0, 1, 2, 2, 4, 6, 8, this.below(20), 0x7fff_fffe, 0xffff_fffe]);
    putFrameHeader(header, 0, this.below(11) as FrameType, this.below(2), stream, payload.length);
    if (this.below(20) === 0) header.writeUInt32BE(this.pick([0, payload.length + 1, 0x7fff_ffff, 0xffff_ffff]), 0);
    if (this.below(40) === 0) header[8] = this.below(256);
    if (this.below(40) === 0) header[9] = this.below(256);
    return Buffer.concat([header, payload]);
  }

  /** A message: random bytes, a changed one of the vectors, or some frames. */
  message(): Buffer {
    const kind = this.below(10);
    if (kind === 0) return this.bytes(this.below(200));
    if (kind < 4) return this.mutate(this.pick(this.#corpus));
    return Buffer.concat(Array.from({ length: 1 + this.below(3) }, () => this.frame()));
  }

  /** The same bytes, or a few of them changed, dropped, doubled or cut off. */
  mutate(original: Buffer): Buffer {
    const at = this.below(original.length + 1);
    switch (this.below(6)) {
      case 0:
        return original.subarray(0, at);
      case 1:
        return Buffer.concat([original.subarray(0, at), original.subarray(Math.min(original.length, at + 1))]);
      case 2:
        return Buffer.concat([original.subarray(0, at), this.bytes(1 + this.below(4)), original.subarray(at)]);
      case 3: {
        const copy = Buffer.from(original);
        for (let n = 1 + this.below(4); n > 0; n -= 1)
          if (copy.length > 0) copy[this.below(copy.length)] = this.below(256);
        return copy;
      }
      case 4:
        return Buffer.concat([original, original.subarray(0, at)]);
      default:
        return original;
    }
  }
}
