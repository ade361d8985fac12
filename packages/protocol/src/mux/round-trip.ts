import { GgrokError } from "../errors.ts";
import { LIMITS } from "../limits.ts";

/** PINGs sent one after the other on a new connection, to learn its shortest round trip soon. */
const FIRST_PINGS = 4;

/** The round trip, measured by PINGs one at a time. Only quiet PINGs count for the shortest: a full queue is not distance. */
export class RoundTrip {
  #pending: Buffer | undefined;
  #sentAt = 0;
  #moved = 0;
  #movedAtSend = 0;
  #latest: number | undefined;
  #shortest: number | undefined;
  #first = 0;
  #waiting: Set<(rttMs: number | undefined) => void> | undefined;

  /** Latest round trip in milliseconds. */
  get latestMs(): number | undefined {
    return this.#latest;
  }

  /** Shortest round trip of this connection in milliseconds; 0 before it is known, which lets no window grow. */
  get shortestMs(): number {
    return this.#shortest ?? 0;
  }

  /** Whether a PING is unanswered. */
  get isPending(): boolean {
    return this.#pending !== undefined;
  }

  /** A new connection: what was known of the old one does not hold. */
  restart(): void {
    this.#pending = undefined;
    this.#shortest = undefined;
    this.#first = 0;
  }

  /** The connection has carried bytes, either way. */
  moved(bytes: number): void {
    this.#moved += bytes;
  }

  /** A PING goes out. */
  sent(payload: Buffer, nowMs: number): void {
    this.#pending = payload;
    this.#sentAt = nowMs;
    this.#movedAtSend = this.#moved;
  }

  /** A PONG. @returns whether another PING should follow at once */
  received(payload: Buffer, nowMs: number): boolean {
    if (this.#pending === undefined || !this.#pending.equals(payload)) return false;
    this.#pending = undefined;
    const rtt = nowMs - this.#sentAt;
    this.#latest = rtt;
    if (
      this.#moved - this.#movedAtSend < LIMITS.QUIET_PING_BYTES &&
      rtt < (this.#shortest ?? Number.POSITIVE_INFINITY)
    ) {
      this.#shortest = rtt;
    }
    this.#settle(rtt);
    this.#first += 1;
    return this.#first < FIRST_PINGS;
  }

  /** Resolves with the next round trip; rejects after `timeoutMs`, or when the session ends. */
  wait(timeoutMs: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const done = (rtt: number | undefined): void => {
        clearTimeout(timer);
        this.#waiting?.delete(done);
        if (rtt === undefined) reject(new GgrokError("ERR_GGROK_SESSION_LOST"));
        else resolve(rtt);
      };
      const timer = setTimeout(done, timeoutMs, undefined);
      this.#waiting ??= new Set();
      this.#waiting.add(done);
    });
  }

  /** The session is over: nobody waits any more. */
  fail(): void {
    this.#settle(undefined);
  }

  #settle(rttMs: number | undefined): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    for (const resolve of waiting ?? []) resolve(rttMs);
  }
}
