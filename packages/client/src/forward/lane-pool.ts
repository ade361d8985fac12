import { Client } from "undici";
import type { Dial } from "./dial.ts";
import { FORWARD_LIMITS } from "./limits.ts";

/** The client is given connections that are ready: this URL is never resolved. */
const UNRESOLVED = "http://upstream.invalid";

/** One keep-alive connection to the app, opened when first used and again whenever the app has closed it. */
export class Lane {
  readonly client: Client;
  /** Answers that came whole over the present connection. */
  served = 0;
  /** Set while the connection's error is being handed out: what ends in that moment was cut off. */
  brokenBy: Error | undefined;

  constructor(dial: Dial, onDisconnect: (lane: Lane) => void) {
    this.client = new Client(UNRESOLVED, {
      pipelining: 1,
      keepAliveTimeout: FORWARD_LIMITS.IDLE_CONNECTION_MS,
      // Time is kept by the exchange, for all ways to the app alike.
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: FORWARD_LIMITS.RESPONSE_HEAD_BYTES_MAX,
      allowH2: false,
      connect: (_options, done) => {
        dial({ allowHalfOpen: false }, (error, socket) => {
          if (socket === undefined) return done(error ?? new Error("no connection"), null);
          this.served = 0;
          // undici ends an answer without length in good order when its connection is reset. Its listener is added by
          // done(), so these two stand before and after it.
          socket.on("error", (cause) => {
            this.brokenBy = cause;
          });
          done(null, socket);
          socket.on("error", () => {
            this.brokenBy = undefined;
          });
        });
      },
    });
    this.client.on("disconnect", () => onDisconnect(this));
  }
}

/**
 * The connections to one app. undici's own Pool looks through all its connections for each request and hides which one it
 * took; here the one used last is taken first, and an exchange knows whether its connection is a fresh one.
 */
export class LanePool {
  readonly #dial: Dial;
  readonly #all = new Set<Lane>();
  readonly #free: Lane[] = [];
  #isClosed = false;

  constructor(dial: Dial) {
    this.#dial = dial;
  }

  /** Takes a connection for one exchange; {@link give} it back when undici has ended the request. */
  take(): Lane {
    const lane = this.#free.pop();
    if (lane !== undefined) return lane;
    const fresh = new Lane(this.#dial, this.#onDisconnect);
    this.#all.add(fresh);
    return fresh;
  }

  give(lane: Lane): void {
    if (this.#isClosed || this.#free.length >= FORWARD_LIMITS.IDLE_CONNECTIONS_MAX) this.#drop(lane);
    else this.#free.push(lane);
  }

  /** Closes the free connections now and every other when it is given back. */
  close(): void {
    this.#isClosed = true;
    for (const lane of this.#free.splice(0)) this.#drop(lane);
  }

  /** Cuts all connections. */
  destroy(): void {
    this.#isClosed = true;
    this.#free.length = 0;
    const lanes = [...this.#all];
    // First forgotten: what ends with them gives them back.
    this.#all.clear();
    for (const lane of lanes) void lane.client.destroy();
  }

  readonly #onDisconnect = (lane: Lane): void => {
    const at = this.#free.indexOf(lane);
    if (at === -1) return;
    this.#free.splice(at, 1);
    this.#drop(lane);
  };

  #drop(lane: Lane): void {
    if (!this.#all.delete(lane)) return;
    // Graceful: undici may be in the middle of ending the lane's last request.
    void lane.client.close();
  }
}
