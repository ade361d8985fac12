import { isIPv6 } from "node:net";

/** So many a second, and a burst after a quiet time. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

interface Bucket {
  level: number;
  filledAtMs: number;
}

/**
 * One bucket per address, those least recently used forgotten first. An IPv6 address counts as its /64, which is what one
 * visitor has. Pure: the clock is an argument.
 */
export class AddressBuckets {
  readonly #rate: Rate;
  readonly #maxAddresses: number;
  readonly #buckets = new Map<string, Bucket>();

  constructor(rate: Rate, maxAddresses: number) {
    this.#rate = rate;
    this.#maxAddresses = maxAddresses;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** Takes one; the milliseconds until there is one again when there is none. */
  take(address: string, nowMs: number): number | undefined {
    const bucket = this.#fill(address, nowMs);
    if (bucket.level < 1) return Math.ceil(((1 - bucket.level) * 1_000) / this.#rate.perSecond);
    bucket.level -= 1;
    return undefined;
  }

  /** Like {@link take}, but leaves it there. */
  look(address: string, nowMs: number): number | undefined {
    const { level } = this.#fill(address, nowMs);
    return level < 1 ? Math.ceil(((1 - level) * 1_000) / this.#rate.perSecond) : undefined;
  }

  #fill(address: string, nowMs: number): Bucket {
    const key = networkOf(address);
    const { perSecond, burst } = this.#rate;
    const bucket = this.#buckets.get(key) ?? { level: burst, filledAtMs: nowMs };
    const passedMs = Math.max(0, nowMs - bucket.filledAtMs);
    bucket.level = Math.min(burst, bucket.level + (passedMs * perSecond) / 1_000);
    bucket.filledAtMs = nowMs;
    this.#buckets.delete(key);
    if (this.#buckets.size >= this.#maxAddresses) this.#buckets.delete(this.#buckets.keys().next().value ?? "");
    this.#buckets.set(key, bucket);
    return bucket;
  }
}

/** The address itself, or the first four groups of an IPv6 one. */
export function networkOf(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = "", tail] = address.toLowerCase().split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length);
  const groups = [...before, ...Array.from({ length: zeros }, () => "0"), ...after];
  return groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/u, ""))
    .join(":");
}
