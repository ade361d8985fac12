const LF = 0x0a;
const CR = 0x0d;

/**
 * Cuts a text/event-stream into its blocks: what stands between blank lines, comments included, as bytes. Blocks are cut at
 * `maxBytes`; their size is the whole one.
 */
export class EventStreamReader {
  readonly #maxBytes: number;
  readonly #onBlock: (data: Buffer, size: number) => void;
  #parts: Buffer[] = [];
  #kept = 0;
  #size = 0;
  #lineBytes = 0;
  #wasCr = false;
  /** Bytes of the line end that would belong to the block if another line followed. */
  #lineEndBytes = 0;

  constructor(maxBytes: number, onBlock: (data: Buffer, size: number) => void) {
    this.#maxBytes = maxBytes;
    this.#onBlock = onBlock;
  }

  push(chunk: Buffer): void {
    let start = 0;
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i];
      if (byte === LF && this.#wasCr) {
        this.#wasCr = false;
        // The second half of a line end: outside of a block it belongs to nobody.
        if (this.#size + (i - start) === 0) start = i + 1;
        else this.#lineEndBytes += 1;
        continue;
      }
      this.#wasCr = byte === CR;
      if (byte !== LF && byte !== CR) {
        this.#lineBytes += 1;
        continue;
      }
      if (this.#lineBytes > 0) {
        this.#lineBytes = 0;
        this.#lineEndBytes = 1;
        continue;
      }
      this.#add(chunk.subarray(start, i));
      start = i + 1;
      this.#emit();
    }
    this.#add(chunk.subarray(start));
  }

  #add(part: Buffer): void {
    if (part.length === 0) return;
    this.#size += part.length;
    const room = this.#maxBytes - this.#kept;
    if (room <= 0) return;
    const kept = Buffer.from(part.subarray(0, room));
    this.#parts.push(kept);
    this.#kept += kept.length;
  }

  #emit(): void {
    const size = this.#size - this.#lineEndBytes;
    if (size > 0) {
      const whole = this.#parts.length === 1 ? (this.#parts[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#parts);
      this.#onBlock(whole.subarray(0, size), size);
    }
    this.#parts = [];
    this.#kept = 0;
    this.#size = 0;
    this.#lineEndBytes = 0;
  }
}
