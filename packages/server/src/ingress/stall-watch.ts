/** Something that can stall on the visitor's side. */
export interface Stallable {
  /** Looks at the progress since the last call; `isFresh` starts all measuring anew. */
  checkStall(nowMs: number, isFresh: boolean): void;
}

/**
 * Looks at everything that could stall, now and then. One timer for all; it runs only while there is something to look
 * at. A check that comes late judges nobody: the process itself stood still.
 */
export class StallWatch {
  readonly #intervalMs: number;
  readonly #watched = new Set<Stallable>();
  #timer: NodeJS.Timeout | undefined;
  #expectedAt = 0;

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  get size(): number {
    return this.#watched.size;
  }

  add(item: Stallable): void {
    this.#watched.add(item);
    if (this.#timer !== undefined) return;
    this.#expectedAt = performance.now() + this.#intervalMs;
    this.#timer = setInterval(() => this.#check(), this.#intervalMs).unref();
  }

  remove(item: Stallable): void {
    this.#watched.delete(item);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#watched.clear();
  }

  #check(): void {
    const now = performance.now();
    const isLate = now > this.#expectedAt + 1_000;
    this.#expectedAt = now + this.#intervalMs;
    for (const item of this.#watched) item.checkStall(now, isLate);
    if (this.#watched.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
