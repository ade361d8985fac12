import type { Duplex } from "node:stream";
import { PROXY_LIMITS } from "./limits.ts";

/** One connection of a client, and the clock that runs while nothing is asked for. */
export class ProxyClient {
  readonly socket: Duplex;
  readonly #idleTimeoutMs: number;
  readonly #onLate: (isFirst: boolean) => void;
  /** Requests that came while another was being served. */
  readonly #waiting: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;
  #open = 0;
  #served = 0;
  /** Told by its first byte. */
  speaksHttp = false;

  /** @param onLate the next request did not come in time; `isFirst`: there has been none yet */
  constructor(socket: Duplex, o: { headTimeoutMs: number; idleTimeoutMs: number }, onLate: (isFirst: boolean) => void) {
    this.socket = socket;
    this.#idleTimeoutMs = o.idleTimeoutMs;
    this.#onLate = onLate;
    this.#arm(o.headTimeoutMs);
    socket.once("close", () => this.#disarm());
  }

  /** An exchange is under way. */
  get isBusy(): boolean {
    return this.#open > 0;
  }

  /**
   * A request is complete: from here on no clock cuts it. It is served when those before it have been, so that one client
   * holds one connection to the outside however much it asks for in advance.
   */
  begin(serve: () => void): void {
    this.#open += 1;
    this.#disarm();
    if (this.#open === 1) serve();
    else if (this.#waiting.length < PROXY_LIMITS.PIPELINED_REQUESTS_MAX) this.#waiting.push(serve);
    else this.socket.destroy();
  }

  /** The exchange is over; the connection may stay for another. */
  end(): void {
    this.#open -= 1;
    this.#served += 1;
    if (!this.socket.writable) return;
    const next = this.#waiting.shift();
    if (next !== undefined) next();
    else if (this.#open === 0) this.#arm(this.#idleTimeoutMs);
  }

  #arm(ms: number): void {
    this.#disarm();
    this.#timer = setTimeout(() => this.#onLate(this.#served === 0), ms);
  }

  #disarm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
