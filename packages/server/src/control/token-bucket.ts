/** Admits so many a second, and a burst after a quiet time. Pure: the clock is an argument. */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  #level: number;
  #filledAtMs: number;

  constructor(options: { perSecond: number; burst: number; nowMs: number }) {
    this.#perSecond = options.perSecond;
    this.#burst = options.burst;
    this.#level = options.burst;
    this.#filledAtMs = options.nowMs;
  }

  /** Takes one; false when there is none. */
  take(nowMs: number): boolean {
    const passedMs = Math.max(0, nowMs - this.#filledAtMs);
    this.#level = Math.min(this.#burst, this.#level + (passedMs * this.#perSecond) / 1_000);
    this.#filledAtMs = nowMs;
    if (this.#level < 1) return false;
    this.#level -= 1;
    return true;
  }
}
