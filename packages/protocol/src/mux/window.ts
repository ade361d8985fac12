import { LIMITS } from "../limits.ts";
import { RateEstimator } from "./rate.ts";

/** Share of a window that must be used before it is granted again: a quarter keeps the sender from stalling. */
const GRANT_SHARE = 4;

/** What this end may still send: an absolute limit, counted in DATA payload bytes since the start. */
export class SendWindow {
  #limit: number;
  #sent = 0;

  constructor(initialBytes: number) {
    this.#limit = initialBytes;
  }

  /** Bytes that may be sent now. */
  get credit(): number {
    return this.#limit - this.#sent;
  }

  /** Bytes sent since the start. */
  get sent(): number {
    return this.#sent;
  }

  /** Counts bytes sent; the caller has checked `credit`. */
  take(bytes: number): void {
    this.#sent += bytes;
  }

  /** The peer's WINDOW. Returns whether it raised anything: a limit that does not is legal, useless and counted. */
  raise(limit: number): boolean {
    if (limit <= this.#limit) return false;
    this.#limit = limit;
    return true;
  }
}

/**
 * What the peer may still send on one stream. Credit comes back when the reader has consumed, a quarter of the window at
 * a time; the window follows `2 x consumption rate x shortest round trip` between its initial size and the cap.
 */
export class StreamReceiveWindow {
  readonly #initial: number;
  #window: number;
  #limit: number;
  #received = 0;
  #consumed = 0;
  #rate: RateEstimator | undefined;

  constructor(initialBytes: number) {
    this.#initial = initialBytes;
    this.#window = initialBytes;
    this.#limit = initialBytes;
  }

  /** Absolute limit last granted. */
  get limit(): number {
    return this.#limit;
  }

  /** Present size of the window in bytes. */
  get size(): number {
    return this.#window;
  }

  /** Bytes received since the start. */
  get received(): number {
    return this.#received;
  }

  /** Received and not yet consumed, in bytes. */
  get held(): number {
    return this.#received - this.#consumed;
  }

  /** Counts received bytes; false when the peer went over its limit. */
  receive(bytes: number): boolean {
    this.#received += bytes;
    return this.#received <= this.#limit;
  }

  /**
   * Counts consumed bytes.
   *
   * @param capBytes most the window may be now (memory pressure lowers it); 0 grants nothing
   * @returns whether a new `limit` is worth a WINDOW frame
   */
  consume(bytes: number, nowMs: number, shortestRttMs: number, capBytes: number): boolean {
    this.#consumed += bytes;
    if (this.#limit - this.#consumed > this.#window - this.#window / GRANT_SHARE) {
      this.#rate?.add(bytes, nowMs, shortestRttMs);
      return false;
    }
    this.#rate ??= new RateEstimator();
    this.#rate.add(bytes, nowMs, shortestRttMs);
    const wanted = 2 * this.#rate.best * shortestRttMs;
    const grown = wanted > this.#window ? Math.min(wanted, LIMITS.STREAM_WINDOW_MAX_BYTES) : this.#window;
    this.#window = Math.floor(Math.max(grown, this.#initial));
    return this.grant(capBytes);
  }

  /** Raises the limit to what is consumed plus the window, under the cap; also called when memory pressure has gone. */
  grant(capBytes: number): boolean {
    const limit = this.#consumed + Math.min(this.#window, capBytes);
    if (limit <= this.#limit) return false;
    this.#limit = limit;
    return true;
  }
}

/**
 * What the peer may have in flight on the whole session. It comes back on receipt, so stalled readers cannot use it up,
 * and follows `best rate x (2 x shortest round trip + the queue we allow ourselves)`.
 */
export class SessionReceiveWindow {
  #size: number = LIMITS.SESSION_WINDOW_INITIAL_BYTES;
  #limit: number = LIMITS.SESSION_WINDOW_INITIAL_BYTES;
  #received = 0;
  readonly #rate = new RateEstimator();

  /** Absolute limit last granted. */
  get limit(): number {
    return this.#limit;
  }

  /** Present size in bytes. */
  get size(): number {
    return this.#size;
  }

  /** DATA payload bytes received since the start, of closed streams too. */
  get received(): number {
    return this.#received;
  }

  /** Counts received bytes; false when the peer went over its limit. */
  receive(bytes: number): boolean {
    this.#received += bytes;
    return this.#received <= this.#limit;
  }

  /** Whether a quarter has been used: then call `grant`. Kept apart so that the clock is read only when it matters. */
  get isDue(): boolean {
    return this.#limit - this.#received <= this.#size - this.#size / GRANT_SHARE;
  }

  /** Counts bytes for the rate; call once per received message. */
  measure(bytes: number, nowMs: number, shortestRttMs: number): void {
    this.#rate.add(bytes, nowMs, shortestRttMs);
  }

  /** Sets the size from the measured rate and returns whether the limit rose. */
  grant(shortestRttMs: number): boolean {
    const wanted = this.#rate.best * (2 * shortestRttMs + LIMITS.SESSION_QUEUE_MS);
    this.#size = Math.floor(
      Math.min(Math.max(wanted, LIMITS.SESSION_WINDOW_MIN_BYTES), LIMITS.SESSION_WINDOW_MAX_BYTES),
    );
    const limit = this.#received + this.#size;
    if (limit <= this.#limit) return false;
    this.#limit = limit;
    return true;
  }
}
