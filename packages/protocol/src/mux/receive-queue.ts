import { LIMITS } from "../limits.ts";
import { Fifo } from "./fifo.ts";

/** Smallest slab, in bytes. */
const FIRST_SLAB_BYTES = 1_024;

/**
 * Chunks of one stream whose reader is full, copied together: a view pins the whole read it was cut from, most of which is
 * other streams', and the reader gets few large chunks instead of many. A slab is at most as large as what waits already,
 * or as the chunk that it is made for.
 */
export class ReceiveQueue {
  readonly #chunks = new Fifo<Buffer>();
  /** The last chunk's slab, with room at its end. */
  #slab: Buffer | undefined;
  #end = 0;
  #bytes = 0;

  /** Whether nothing waits. */
  get isEmpty(): boolean {
    return this.#chunks.length === 0;
  }

  /** Takes a copy of a chunk. */
  push(chunk: Buffer): void {
    const { length } = chunk;
    const slab = this.#slab;
    if (slab !== undefined && this.#end + length <= slab.length) {
      chunk.copy(slab, this.#end);
      this.#end += length;
      this.#chunks.replaceLast(slab.subarray(0, this.#end));
    } else {
      // Not from Node's pool: these live as long as the reader stalls.
      const size = Math.max(Math.min(this.#bytes, LIMITS.RECEIVE_SLAB_BYTES), length, FIRST_SLAB_BYTES);
      const next = Buffer.allocUnsafeSlow(size);
      chunk.copy(next, 0);
      this.#slab = next;
      this.#end = length;
      this.#chunks.push(next.subarray(0, length));
    }
    this.#bytes += length;
  }

  /** The oldest chunk, removed; undefined when nothing waits. */
  shift(): Buffer | undefined {
    const chunk = this.#chunks.shift();
    if (chunk === undefined) return undefined;
    this.#bytes -= chunk.length;
    if (this.#chunks.length === 0) this.#slab = undefined;
    return chunk;
  }
}
