import type { Logger } from "../observability/logger.ts";
import { type Parking, ParkingSpot, type ParkTag } from "./parking.ts";
import type { Reservations } from "./reservations.ts";
import type { ParkResult } from "./route.ts";

/** What is known of places without an endpoint. */
export interface AbsentPlacesDeps {
  readonly reservations: Reservations;
  readonly holdMs: number;
  readonly parkMs: number;
  readonly logger: Logger;
  readonly now: () => number;
}

/**
 * Places at which nobody is and somebody is expected: those that are reserved, and every one for the hold time after the
 * relay's own start. Requests wait there as they do at an endpoint whose agent is away.
 */
export class AbsentPlaces {
  readonly #deps: AbsentPlacesDeps;
  readonly #parking: Parking;
  readonly #startedAt: number;
  readonly #startSpot = new ParkingSpot();
  readonly #reservedSpots = new Map<string, ParkingSpot>();

  constructor(deps: AbsentPlacesDeps, parking: Parking) {
    this.#deps = deps;
    this.#parking = parking;
    this.#startedAt = deps.now();
  }

  /** True while agents of before the relay's start may still come back. */
  get isStarting(): boolean {
    return this.#startHoldLeftMs() > 0;
  }

  /** Whether a place belongs to someone beyond their sessions. A store that fails must not take requests down with it. */
  isReserved(host: string, target: string): boolean {
    try {
      return this.#deps.reservations.isKnown(host, target);
    } catch (error) {
      this.#deps.logger.error({ err: error }, "the store failed; a name is taken for unknown");
      return false;
    }
  }

  /** Waits for whoever may come. */
  async park(tag: ParkTag, bytes: number, signal: AbortSignal): Promise<ParkResult> {
    const { parkMs } = this.#deps;
    const request = { ...tag, bytes, signal };
    if (!this.isReserved(tag.host, tag.target)) {
      const timeoutMs = Math.min(parkMs, this.#startHoldLeftMs());
      return await this.#parking.park(this.#startSpot, { ...request, timeoutMs });
    }
    // Every reserved host has a spot of its own: one absent app must not use up the places of the others.
    const spot = this.#reservedSpots.get(tag.host) ?? new ParkingSpot();
    this.#reservedSpots.set(tag.host, spot);
    try {
      return await this.#parking.park(spot, { ...request, timeoutMs: parkMs });
    } finally {
      if (spot.size === 0 && this.#reservedSpots.get(tag.host) === spot) this.#reservedSpots.delete(tag.host);
    }
  }

  /** Ends the waits, all or those that pass the test. */
  release(result: "ready" | "offline", test?: (tag: ParkTag) => boolean): void {
    for (const spot of [this.#startSpot, ...this.#reservedSpots.values()]) this.#parking.release(spot, result, test);
  }

  #startHoldLeftMs(): number {
    return this.#startedAt + this.#deps.holdMs - this.#deps.now();
  }
}
