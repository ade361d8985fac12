/** Something that can stall on the visitor's side. */
export interface Stallable {
  /** Where the watch keeps it; -1 while it is not watched. The watch's own. */
  stallSlot: number;
  /** Looks at the progress since the last call; `isFresh` starts all measuring anew. */
  checkStall(nowMs: number, isFresh: boolean): void;
}

/**
 * Looks at everything that could stall, now and then. One timer for all; it runs only while there is something to look
 * at. A check that comes late judges nobody: the process itself stood still.
 */
export class StallWatch {
  readonly #intervalMs: number;
  // Slots that are emptied and used again, and not a Set: every upload enters and leaves, and a Set that is rehashed
  // now and then keeps the dead ones reachable for the young generation.
  readonly #slots: (Stallable | undefined)[] = [];
  #size = 0;
  #timer: NodeJS.Timeout | undefined;
  #expectedAt = 0;

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  get size(): number {
    return this.#size;
  }

  add(item: Stallable): void {
    if (item.stallSlot >= 0) return;
    item.stallSlot = this.#size;
    this.#slots[this.#size] = item;
    this.#size += 1;
    if (this.#timer !== undefined) return;
    this.#expectedAt = performance.now() + this.#intervalMs;
    this.#timer = setInterval(() => this.#check(), this.#intervalMs).unref();
  }

  remove(item: Stallable): void {
    if (item.stallSlot < 0) return;
    this.#size -= 1;
    const last = this.#slots[this.#size];
    this.#slots[this.#size] = undefined;
    if (last !== undefined && last !== item) {
      this.#slots[item.stallSlot] = last;
      last.stallSlot = item.stallSlot;
    }
    item.stallSlot = -1;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    while (this.#size > 0) {
      const item = this.#slots[this.#size - 1];
      if (item !== undefined) this.remove(item);
    }
  }

  #check(): void {
    const now = performance.now();
    const isLate = now > this.#expectedAt + 1_000;
    this.#expectedAt = now + this.#intervalMs;
    // From the end: an item that leaves is replaced by one that was looked at already.
    for (let i = this.#size - 1; i >= 0; i -= 1) this.#slots[i]?.checkStall(now, isLate);
    if (this.#size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
