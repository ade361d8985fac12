/** How many finished exchanges the percentiles rest on. */
const SAMPLE_COUNT = 1_024;
/** Longest rate that is asked for, seconds. */
const RATE_SECONDS = 900;

/** Counters in the sense of ngrok's `conns`: rates per second, durations in milliseconds. */
export interface ExchangeFigures {
  /** All so far. */
  readonly total: number;
  readonly open: number;
  readonly rate1: number;
  readonly rate5: number;
  readonly rate15: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
}

/** Counts exchanges: one number a second for the rates, a ring of durations for the percentiles. Constant in size. */
export class ExchangeStats {
  readonly #perSecond = new Uint32Array(RATE_SECONDS);
  readonly #durations = new Float64Array(SAMPLE_COUNT);
  readonly #nowMs: () => number;
  #second: number;
  #sampled = 0;
  #total = 0;
  #open = 0;

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
    this.#second = Math.floor(nowMs() / 1_000);
  }

  /** An exchange began. */
  started(): void {
    this.#advance();
    this.#total += 1;
    this.#open += 1;
    const slot = this.#second % RATE_SECONDS;
    this.#perSecond[slot] = (this.#perSecond[slot] ?? 0) + 1;
  }

  /** One of them ended. */
  ended(durationMs: number): void {
    this.#open = Math.max(0, this.#open - 1);
    this.#durations[this.#sampled % SAMPLE_COUNT] = durationMs;
    this.#sampled += 1;
  }

  /** The figures now. */
  read(): ExchangeFigures {
    this.#advance();
    const sorted = this.#durations.slice(0, Math.min(this.#sampled, SAMPLE_COUNT)).sort();
    const percentile = (share: number): number => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
    return {
      total: this.#total,
      open: this.#open,
      rate1: this.#rate(60),
      rate5: this.#rate(300),
      rate15: this.#rate(900),
      p50Ms: percentile(0.5),
      p90Ms: percentile(0.9),
      p95Ms: percentile(0.95),
      p99Ms: percentile(0.99),
    };
  }

  #rate(seconds: number): number {
    let count = 0;
    for (let back = 0; back < seconds; back += 1)
      count += this.#perSecond[(this.#second - back + RATE_SECONDS * 2) % RATE_SECONDS] ?? 0;
    return count / seconds;
  }

  #advance(): void {
    const now = Math.floor(this.#nowMs() / 1_000);
    const passed = Math.min(now - this.#second, RATE_SECONDS);
    for (let i = 1; i <= passed; i += 1) this.#perSecond[(now - passed + i) % RATE_SECONDS] = 0;
    this.#second = Math.max(now, this.#second);
  }
}
