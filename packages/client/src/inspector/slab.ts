/** Bytes of a slab. A batch of a busy agent needs half of one. */
const SLAB_BYTES = 524_288;
/** Slabs that are kept for later. */
const FREE_MAX = 4;

/** Memory that main thread and writer both see, filled from the front. */
export interface Slab {
  readonly bytes: Buffer<SharedArrayBuffer>;
  used: number;
}

/**
 * Hands out slabs and takes them back. What waits to be written lies outside of the heap that is garbage collected: as objects
 * it would live just long enough to be moved to the old generation, which cost about as much as the writing itself.
 */
export class SlabPool {
  readonly #free: Slab[] = [];

  /** A slab with room for so many bytes. */
  take(bytes: number): Slab {
    const known = bytes <= SLAB_BYTES ? this.#free.pop() : undefined;
    if (known !== undefined) return known;
    return { bytes: Buffer.from(new SharedArrayBuffer(Math.max(bytes, SLAB_BYTES))), used: 0 };
  }

  /** Nobody reads it any more. */
  give(slab: Slab): void {
    if (slab.bytes.length > SLAB_BYTES || this.#free.length >= FREE_MAX) return;
    slab.used = 0;
    this.#free.push(slab);
  }
}
