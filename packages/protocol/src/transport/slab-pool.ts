/** Size of a slab in bytes: several of the largest messages of a turn. */
const SLAB_BYTES = 262_144;
/** Slabs kept for the next turn, for the whole process: more than a busy session has under way. */
const SPARE_SLABS_MAX = 8;

const spare: Buffer[] = [];

/**
 * A piece of memory that frames are built in and that is used again when all of them are written. Without it bulk
 * transfers allocate as much as they carry, and the garbage collector runs for nothing else.
 */
export class Slab {
  readonly buffer: Buffer;
  #used = 0;
  #pending = 0;
  #isLetGo = false;

  constructor(buffer: Buffer) {
    this.buffer = buffer;
  }

  /** Whether so many bytes are left. */
  fits(bytes: number): boolean {
    return this.#used + bytes <= this.buffer.length;
  }

  /** Takes bytes that fit; give {@link released} to the write that carries them. @returns their offset, 8-byte aligned */
  use(bytes: number): number {
    const at = this.#used;
    this.#used += (bytes + 7) & ~7;
    this.#pending += 1;
    return at;
  }

  /** A write has ended, well or not. */
  readonly released = (): void => {
    this.#pending -= 1;
    this.#recycle();
  };

  /** Nothing more will be built here. */
  letGo(): void {
    this.#isLetGo = true;
    this.#recycle();
  }

  #recycle(): void {
    if (!this.#isLetGo || this.#pending > 0) return;
    if (this.buffer.length === SLAB_BYTES && spare.length < SPARE_SLABS_MAX) spare.push(this.buffer);
  }
}

/** A slab with room for at least so many bytes. */
export function takeSlab(bytes: number): Slab {
  const recycled = spare.pop();
  if (recycled !== undefined && bytes <= SLAB_BYTES) return new Slab(recycled);
  return new Slab(Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, bytes)));
}
