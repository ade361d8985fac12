/** Counts events in consecutive windows of time; pure. */
export class FloodGuard {
  readonly #max: number;
  readonly #windowMs: number;
  #windowStart = 0;
  #count = 0;

  /**
   * @param max events allowed in one window
   * @param windowMs length of the window in milliseconds
   */
  constructor(max: number, windowMs: number) {
    this.#max = max;
    this.#windowMs = windowMs;
  }

  /** Counts one event; false when it is one too many. */
  allow(nowMs: number): boolean {
    if (nowMs - this.#windowStart >= this.#windowMs) {
      this.#windowStart = nowMs;
      this.#count = 0;
    }
    this.#count += 1;
    return this.#count <= this.#max;
  }
}
