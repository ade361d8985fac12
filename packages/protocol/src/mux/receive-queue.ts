import { LIMITS } from "../limits.ts";
import { Fifo } from "./fifo.ts";

/**
 * Chunks of one stream whose reader is full. Small ones are copied together: a one-byte view would pin the whole read
 * buffer it was cut from, and Node's own write queue costs some 300 bytes a chunk.
 */
export class ReceiveQueue {
  readonly #chunks = new Fifo<Buffer>();
  /** Room at the end of the last chunk, when that chunk is a copy of ours. */
  #tail: Buffer | undefined;
  #tailBytes = 0;

  /** Whether nothing waits. */
  get isEmpty(): boolean {
    return this.#chunks.length === 0;
  }

  /**
   * Takes a chunk; small ones are copied.
   *
   * @param isMemoryShort copy larger ones too: a slice that came between those of other streams pins four times its length
   */
  push(chunk: Buffer, isMemoryShort: boolean): void {
    if (chunk.length >= LIMITS.RECEIVE_COPY_BELOW_BYTES) {
      const isSlice = chunk.buffer.byteLength >= chunk.length * 2;
      this.#chunks.push(isMemoryShort && isSlice ? copyOf(chunk) : chunk);
      this.#tail = undefined;
      return;
    }
    if (this.#tail !== undefined && this.#tailBytes + chunk.length <= this.#tail.length) {
      chunk.copy(this.#tail, this.#tailBytes);
      this.#tailBytes += chunk.length;
      this.#chunks.replaceLast(this.#tail.subarray(0, this.#tailBytes));
      return;
    }
    // Not from Node's pool: these live as long as the reader stalls.
    const size = this.isEmpty ? Math.max(chunk.length, 1_024) : LIMITS.RECEIVE_COPY_BELOW_BYTES * 2;
    this.#tail = Buffer.allocUnsafeSlow(size);
    chunk.copy(this.#tail, 0);
    this.#tailBytes = chunk.length;
    this.#chunks.push(this.#tail.subarray(0, chunk.length));
  }

  /** The oldest chunk, removed; undefined when nothing waits. */
  shift(): Buffer | undefined {
    const chunk = this.#chunks.shift();
    if (this.#chunks.length === 0) this.#tail = undefined;
    return chunk;
  }

  /** Drops everything. */
  clear(): void {
    this.#chunks.clear();
    this.#tail = undefined;
  }
}

function copyOf(chunk: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(chunk.length);
  chunk.copy(copy, 0);
  return copy;
}
