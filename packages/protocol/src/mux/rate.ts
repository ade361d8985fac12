/** Shortest period a rate is taken over, in milliseconds: below it a single read of the socket would count as a rate. */
const MIN_PERIOD_MS = 10;
/** How long the best rate is remembered, in milliseconds. */
const MEMORY_MS = 10_000;

/**
 * Best byte rate of the last 10 s (a two-bucket windowed maximum), in bytes per millisecond.
 *
 * Periods follow each other without a gap while bytes flow; a pause longer than a period starts a new one, so that idle
 * time never counts as slowness and a burst after a pause is spread over a whole period.
 */
export class RateEstimator {
  #periodStart = -1;
  #periodBytes = 0;
  #lastAt = 0;
  #best = 0;
  #previousBest = 0;
  #bucketStart = 0;

  /** Bytes per millisecond. */
  get best(): number {
    return Math.max(this.#best, this.#previousBest);
  }

  /**
   * Counts bytes that arrived or were consumed.
   *
   * @param bytes how many
   * @param nowMs monotonic time
   * @param periodMs the shortest round trip; the period is at least 10 ms
   */
  add(bytes: number, nowMs: number, periodMs: number): void {
    const period = Math.max(periodMs, MIN_PERIOD_MS);
    if (this.#periodStart < 0 || nowMs - this.#lastAt > period) {
      this.#periodStart = nowMs;
      this.#periodBytes = bytes;
      this.#lastAt = nowMs;
      return;
    }
    this.#lastAt = nowMs;
    this.#periodBytes += bytes;
    const elapsed = nowMs - this.#periodStart;
    if (elapsed < period) return;
    const rate = this.#periodBytes / elapsed;
    if (nowMs - this.#bucketStart > MEMORY_MS / 2) {
      this.#previousBest = nowMs - this.#bucketStart > MEMORY_MS ? 0 : this.#best;
      this.#best = 0;
      this.#bucketStart = nowMs;
    }
    if (rate > this.#best) this.#best = rate;
    this.#periodStart = nowMs;
    this.#periodBytes = 0;
  }
}
