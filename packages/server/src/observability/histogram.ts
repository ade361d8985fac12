/** Upper ends of the buckets, in milliseconds: from a loopback's first byte to a report that takes a minute. */
const BOUNDS_MS: readonly number[] = [
  1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000,
];

/** A latency histogram of plain numbers: an observation is a few comparisons and two additions. */
export class Histogram {
  readonly #counts: number[] = new Array<number>(BOUNDS_MS.length + 1).fill(0);
  #sumMs = 0;

  observe(ms: number): void {
    let bucket = 0;
    while (bucket < BOUNDS_MS.length && ms > (BOUNDS_MS[bucket] ?? 0)) bucket += 1;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sumMs += ms;
  }

  /** The Prometheus text of the histogram, in seconds. */
  expose(name: string, help: string): string {
    let lines = `# HELP ${name} ${help}\n# TYPE ${name} histogram\n`;
    let count = 0;
    for (const [index, inBucket] of this.#counts.entries()) {
      count += inBucket;
      const bound = BOUNDS_MS[index];
      const le = bound === undefined ? "+Inf" : String(bound / 1_000);
      lines += `${name}_bucket{le="${le}"} ${String(count)}\n`;
    }
    return `${lines}${name}_sum ${String(this.#sumMs / 1_000)}\n${name}_count ${String(count)}\n`;
  }
}
