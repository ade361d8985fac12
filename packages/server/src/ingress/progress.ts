/** Measures whether a count moves on: at least `minBytes` in every `periodMs` in which it was asked to. */
export class Progress {
  readonly #periodMs: number;
  readonly #minBytes: number;
  #since: number | undefined;
  #mark = 0;

  constructor(periodMs: number, minBytes: number) {
    this.#periodMs = periodMs;
    this.#minBytes = minBytes;
  }

  /** Nobody is waiting for the other side now: measuring starts anew at the next {@link isStalled}. */
  pause(): void {
    this.#since = undefined;
  }

  isStalled(nowMs: number, count: number): boolean {
    if (this.#since === undefined) {
      this.#since = nowMs;
      this.#mark = count;
      return false;
    }
    if (nowMs - this.#since < this.#periodMs) return false;
    const isStalled = count - this.#mark < this.#minBytes;
    this.#since = nowMs;
    this.#mark = count;
    return isStalled;
  }
}
