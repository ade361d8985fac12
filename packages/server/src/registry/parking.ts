import { RELAY_LIMITS } from "../limits.ts";
import type { ParkResult } from "./route.ts";

interface Waiter {
  readonly tag: ParkTag;
  readonly finish: (result: ParkResult) => void;
}

/** What a parked request asked for. */
export interface ParkTag {
  readonly host: string;
  readonly target: string;
}

/** A place where requests wait for one thing. */
export class ParkingSpot {
  /** Made with the first waiter: most endpoints never have one. */
  #waiters: Set<Waiter> | undefined;

  get size(): number {
    return this.#waiters?.size ?? 0;
  }

  /** A copy, so that waiters can leave while it is walked. */
  all(): Waiter[] {
    return [...(this.#waiters ?? [])];
  }

  add(waiter: Waiter): void {
    this.#waiters ??= new Set();
    this.#waiters.add(waiter);
  }

  /** False when it was not there. */
  delete(waiter: Waiter): boolean {
    if (this.#waiters?.delete(waiter) !== true) return false;
    if (this.#waiters.size === 0) this.#waiters = undefined;
    return true;
  }
}

/** One request that wants to wait. */
export interface ParkOptions extends ParkTag {
  /** What the request holds in memory. */
  bytes: number;
  /** How long it waits at most. */
  timeoutMs: number;
  signal: AbortSignal;
}

/** Bounds of {@link Parking}; the relay's own unless given. */
export interface ParkingLimits {
  maxParked: number;
  maxParkedPerEndpoint: number;
  maxParkedBytes: number;
}

/** Requests that wait for an agent: bounded in count, bytes and time, first come first woken. */
export class Parking {
  readonly #limits: ParkingLimits;
  #count = 0;
  #bytes = 0;

  constructor(limits: ParkingLimits = RELAY_LIMITS) {
    this.#limits = limits;
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  park(spot: ParkingSpot, options: ParkOptions): Promise<ParkResult> {
    const { bytes, timeoutMs, signal } = options;
    if (signal.aborted) return Promise.resolve("aborted");
    if (timeoutMs <= 0) return Promise.resolve("offline");
    if (this.#isFull(spot, bytes)) return Promise.resolve("full");
    return new Promise((resolve) => {
      const finish = (result: ParkResult): void => {
        if (!spot.delete(waiter)) return;
        this.#count -= 1;
        this.#bytes -= bytes;
        clearTimeout(timer);
        signal.removeEventListener("abort", abort);
        resolve(result);
      };
      const abort = (): void => finish("aborted");
      const timer = setTimeout(finish, timeoutMs, "offline");
      const waiter: Waiter = { tag: { host: options.host, target: options.target }, finish };
      spot.add(waiter);
      this.#count += 1;
      this.#bytes += bytes;
      signal.addEventListener("abort", abort, { once: true });
    });
  }

  /** Ends the wait of everyone at the spot whom the filter names. */
  release(spot: ParkingSpot, result: "ready" | "offline", filter?: (tag: ParkTag) => boolean): void {
    for (const waiter of spot.all()) if (filter === undefined || filter(waiter.tag)) waiter.finish(result);
  }

  #isFull(spot: ParkingSpot, bytes: number): boolean {
    const { maxParked, maxParkedPerEndpoint, maxParkedBytes } = this.#limits;
    return this.#count >= maxParked || spot.size >= maxParkedPerEndpoint || this.#bytes + bytes > maxParkedBytes;
  }
}
