/** Bytes of a slab. A batch of a busy agent needs half of one. */
const SLAB_BYTES = 524_288;
/** Rows of a slab: as many as fit into it when they have hardly any fields and no body. */
const SLAB_ROWS = 512;
/** Slabs that are kept and used again. */
const KEPT_MAX = 4;

/** Numbers that describe one row, see {@link Slab}. */
const ROW_NUMBERS = 11;

/**
 * Memory that main thread and writer both see, filled from the front.
 *
 * `rows` has {@link ROW_NUMBERS} of each row: where in `bytes` it begins, seq, bytes it counts for, whether it is open and
 * whether it is new; then the lengths of what lies there one behind the other, -1 where there is none: id, request file,
 * response file, record, request, response.
 */
export interface Slab {
  /** Under this number the writer knows it from the first time on; -1: it is used once. */
  readonly id: number;
  readonly bytes: Buffer<SharedArrayBuffer>;
  readonly rows: Float64Array<SharedArrayBuffer>;
  used: number;
  rowsUsed: number;
  /** The writer has it. */
  isKnown: boolean;
}

/** Whether a row of so many bytes can be added. */
export function hasRoom(slab: Slab, bytes: number): boolean {
  return slab.bytes.length - slab.used >= bytes && slab.rows.length - slab.rowsUsed >= ROW_NUMBERS;
}

/**
 * Hands out slabs and takes them back. What waits to be written lies outside of the heap that is garbage collected: as objects
 * it would live just long enough to be moved to the old generation, which cost about as much as the writing itself. Nor is it
 * passed to the writer anew with each batch: half a megabyte more of outside memory each time set off its collector.
 */
export class SlabPool {
  readonly #free: Slab[] = [];
  #kept = 0;

  /** A slab with room for so many bytes. */
  take(bytes: number): Slab {
    if (bytes > SLAB_BYTES) return newSlab(-1, bytes);
    const known = this.#free.pop();
    if (known !== undefined) return known;
    return newSlab(this.#kept < KEPT_MAX ? this.#kept++ : -1, SLAB_BYTES);
  }

  /** Nobody reads it any more. */
  give(slab: Slab): void {
    if (slab.id < 0) return;
    slab.used = 0;
    slab.rowsUsed = 0;
    this.#free.push(slab);
  }
}

function newSlab(id: number, bytes: number): Slab {
  return {
    id,
    bytes: Buffer.from(new SharedArrayBuffer(bytes)),
    rows: new Float64Array(new SharedArrayBuffer(SLAB_ROWS * ROW_NUMBERS * Float64Array.BYTES_PER_ELEMENT)),
    used: 0,
    rowsUsed: 0,
    isKnown: false,
  };
}
