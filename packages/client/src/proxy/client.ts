import type { Duplex } from "node:stream";
import { PROXY_LIMITS } from "./limits.ts";

/** One connection of a client, and the clock that runs while nothing is asked for. */
export class ProxyClient {
  readonly socket: Duplex;
  readonly #onLate: (isFirst: boolean) => void;
  #timer: NodeJS.Timeout | undefined;
  #open = 0;
  #served = 0;
  /** Told by its first byte. */
  speaksHttp = false;

  /** @param onLate the next request did not come in time; `isFirst`: there has been none yet */
  constructor(socket: Duplex, headTimeoutMs: number, onLate: (isFirst: boolean) => void) {
    this.socket = socket;
    this.#onLate = onLate;
    this.#arm(headTimeoutMs);
    socket.once("close", () => this.#disarm());
  }

  /** An exchange is under way. */
  get isBusy(): boolean {
    return this.#open > 0;
  }

  /** A request is complete: from here on no clock cuts it. */
  begin(): void {
    this.#open += 1;
    this.#disarm();
  }

  /** The exchange is over; the connection may stay for another. */
  end(): void {
    this.#open -= 1;
    this.#served += 1;
    if (this.#open === 0 && !this.socket.destroyed) this.#arm(PROXY_LIMITS.IDLE_CLIENT_MS);
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
