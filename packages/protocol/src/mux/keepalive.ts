/** What a keepalive check found. */
export type Liveness = "alive" | "suspect" | "lost";

/** A check that runs this much later than asked for judges nobody: this process was stopped, not the peer. */
const LATE_CHECK_MS = 1_000;

/**
 * When to PING and when to give a peer up; pure: time comes in as an argument. Every received byte counts as life.
 * Silence above `suspectMs` makes the peer suspect, above `timeoutMs` lost.
 */
export class Keepalive {
  readonly #pingMs: number;
  readonly #suspectMs: number;
  readonly #timeoutMs: number;
  readonly #always: boolean;
  #heardAt: number;
  #pingedAt: number;
  #dueAt: number;

  /**
   * @param o.pingMs time between PINGs (`always`), or silence before one
   * @param o.always PING at the interval even when the peer is talking: it measures the round trip
   */
  constructor(o: { pingMs: number; suspectMs: number; timeoutMs: number; always: boolean; nowMs: number }) {
    this.#pingMs = o.pingMs;
    this.#suspectMs = o.suspectMs;
    this.#timeoutMs = o.timeoutMs;
    this.#always = o.always;
    this.#heardAt = o.nowMs;
    this.#pingedAt = o.nowMs;
    this.#dueAt = o.nowMs + o.pingMs;
  }

  /** Something was received. */
  heard(nowMs: number): void {
    this.#heardAt = nowMs;
  }

  /** Milliseconds until the next check is due. */
  delay(nowMs: number): number {
    const pingAt = (this.#always ? this.#pingedAt : Math.max(this.#heardAt, this.#pingedAt)) + this.#pingMs;
    const silence = nowMs - this.#heardAt;
    const edgeAt = this.#heardAt + (silence < this.#suspectMs ? this.#suspectMs : this.#timeoutMs);
    this.#dueAt = Math.max(Math.min(pingAt, edgeAt), nowMs + 1);
    return this.#dueAt - nowMs;
  }

  /** Judges the peer; `ping` says that a PING is due now. */
  check(nowMs: number): { liveness: Liveness; ping: boolean } {
    if (nowMs - this.#dueAt > LATE_CHECK_MS) {
      this.#heardAt = nowMs;
      this.#pingedAt = nowMs;
      return { liveness: "alive", ping: true };
    }
    const silence = nowMs - this.#heardAt;
    const liveness = silence >= this.#timeoutMs ? "lost" : silence >= this.#suspectMs ? "suspect" : "alive";
    const since = this.#always ? nowMs - this.#pingedAt : Math.min(silence, nowMs - this.#pingedAt);
    const ping = since >= this.#pingMs;
    if (ping) this.#pingedAt = nowMs;
    return { liveness, ping };
  }
}
