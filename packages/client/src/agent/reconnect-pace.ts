import { backoffDelayMs } from "./backoff.ts";

/** A session that ends within this time, milliseconds, again and again, is that of a relay not to be hammered … */
const SHORT_SESSION_MS = 1_000;
/** … but a link that is merely bad must not push the next try beyond the hold: pauses grow to 4 s, as after two failures. */
const MAX_SHORT_SESSIONS = 2;
/** Failures that count for the pause while visitors are waiting somewhere for this agent: tries are at most 2 s apart. */
const HELD_FAILURES_MAX = 1;
/** How long after a drain visitors are taken to wait at the next relay, milliseconds: as long as its streams may go on. */
export const MOVE_GRACE_MS = 25_000;

/** What a pause is for. */
export interface PauseReason {
  /** A new session is wanted while the old one goes on. */
  readonly isMoving: boolean;
  /** The relay keeps the lost session, and its visitors, until it is resumed. */
  readonly isHeld: boolean;
  /** What the relay asked for, milliseconds. */
  readonly afterMs?: number | undefined;
}

/** How long to wait before the next try, by what has gone wrong so far. Holds no timer; times are the monotonic clock's. */
export class ReconnectPace {
  readonly #random: () => number;
  #failures = 0;
  #shortSessions = 0;
  #drainedAt = Number.NEGATIVE_INFINITY;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** A try came to nothing. */
  failed(): void {
    this.#failures += 1;
  }

  /**
   * The session in use is gone.
   *
   * @param since when it began; a session that was ever resumed is no short one, and has no beginning
   */
  lost(since: number | undefined, now: number): void {
    this.#failures = this.#shortSessions;
    const isShort = since !== undefined && now - since < SHORT_SESSION_MS;
    this.#shortSessions = isShort ? Math.min(MAX_SHORT_SESSIONS, this.#shortSessions + 1) : 0;
  }

  /** The relay asked for a new session. */
  drained(now: number): void {
    this.#failures = 0;
    this.#drainedAt = now;
  }

  /** Milliseconds until the next try. */
  pauseMs({ isMoving, isHeld, afterMs = 0 }: PauseReason, now: number): number {
    if (isMoving && this.#failures === 0) return afterMs;
    // Visitors are parked: here while the session is held, soon after a drain at the next relay, there any moment.
    const isAwaited = isHeld || now - this.#drainedAt < MOVE_GRACE_MS;
    const failures = isAwaited ? Math.min(this.#failures, HELD_FAILURES_MAX) : this.#failures;
    return backoffDelayMs(failures, this.#random, afterMs);
  }
}
