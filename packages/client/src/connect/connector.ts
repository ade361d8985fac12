import type { Duplex } from "node:stream";
import { GgrokError } from "@ggrok/protocol";
import { DialError, type DialOptions } from "../agent/dial.ts";
import { askRelay, NotPassed } from "./ask-relay.ts";
import { ConnectorSession } from "./connector-session.ts";
import { openRelaySocket } from "./relay-socket.ts";
import { type ConnectWay, recallWay, rememberWay } from "./way-memory.ts";

/** How long an answer to CONNECT may take where it is not known to be passed on, milliseconds: longer than a relay parks. */
const UNPROVEN_CONNECT_MS = 12_000;

/** What a connector is made of. */
export interface ConnectorOptions extends DialOptions {
  readonly stateDir: string;
}

/**
 * Opens connections to TCP tunnels of one relay through its one port: by CONNECT where the front end passes that on, else over
 * a WebSocket that all of them share. What works is remembered for the relay.
 */
export class Connector {
  readonly #o: ConnectorOptions;
  #way: ConnectWay | undefined;
  #session: Promise<ConnectorSession> | undefined;
  #isClosed = false;

  constructor(options: ConnectorOptions) {
    this.#o = options;
    this.#way = recallWay(options.stateDir, options.relay.origin);
  }

  /**
   * Opens a connection. Resolves when the app has taken it; rejects with a GgrokError: CONNECT_UNAUTHORIZED, CONNECT_REFUSED,
   * UPSTREAM_REFUSED, ENDPOINT_OFFLINE, RELAY_UNREACHABLE and so on.
   */
  async open(name: string, signal: AbortSignal): Promise<Duplex> {
    const ways: readonly ConnectWay[] = this.#way === "upgrade" ? ["upgrade", "connect"] : ["connect", "upgrade"];
    const failures: unknown[] = [];
    for (const way of ways) {
      try {
        const duplex = way === "connect" ? await this.#byConnect(name, signal) : await this.#byUpgrade(name, signal);
        if (this.#way !== way) rememberWay(this.#o.stateDir, this.#o.relay.origin, way);
        this.#way = way;
        return duplex;
      } catch (error) {
        signal.throwIfAborted();
        failures.push(error);
        if (!isWayBlocked(error)) break;
      }
    }
    throw asGgrokError(failures);
  }

  /** Ends what carries connections once these have ended; those by CONNECT are their owners'. */
  close(): void {
    this.#isClosed = true;
    this.#session?.then((session) => session.close()).catch(() => {});
  }

  async #byConnect(name: string, signal: AbortSignal): Promise<Duplex> {
    const { relay, token, userAgent } = this.#o;
    const socket = await openRelaySocket(this.#o, signal);
    const isProven = this.#way === "connect";
    const timeout = new AbortController();
    const timer = isProven
      ? undefined
      : setTimeout(() => timeout.abort(new NotPassed("no answer to CONNECT in time")), UNPROVEN_CONNECT_MS);
    try {
      const ask = { name, authority: new URL(relay.origin).host, token, userAgent };
      await askRelay(socket, ask, AbortSignal.any([signal, timeout.signal]));
      return socket;
    } catch (error) {
      socket.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  async #byUpgrade(name: string, signal: AbortSignal): Promise<Duplex> {
    const session = await this.#sessionFor(name, signal);
    return await session.open(name, signal);
  }

  async #sessionFor(name: string, signal: AbortSignal): Promise<ConnectorSession> {
    const present = await this.#session?.catch(() => undefined);
    if (present?.canOpen === true) return present;
    const started = ConnectorSession.start(this.#o, name, signal);
    this.#session = started;
    const session = await started;
    if (this.#isClosed) void session.close();
    return session;
  }
}

/** Whether the other way could do better: the relay itself has not answered. */
function isWayBlocked(error: unknown): boolean {
  if (error instanceof NotPassed) return true;
  return error instanceof DialError && error.error.code === "ERR_GGROK_RELAY_UNREACHABLE";
}

/** What the relay said itself counts most; of two ways that are both blocked, the first one's reason. */
function asGgrokError(failures: readonly unknown[]): unknown {
  const plain = failures.map((failure) => (failure instanceof DialError ? failure.error : failure));
  const last = plain.at(-1);
  if (last instanceof GgrokError && last.code !== "ERR_GGROK_RELAY_UNREACHABLE") return last;
  const found = plain.find((failure) => failure instanceof GgrokError) ?? last;
  if (found instanceof NotPassed)
    return new GgrokError("ERR_GGROK_RELAY_UNREACHABLE", { message: found.message, cause: found });
  return found;
}
