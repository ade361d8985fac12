import { Agent, type ClientRequestArgs } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Destination } from "./destination.ts";
import { PROXY_LIMITS } from "./limits.ts";

/**
 * Keep-alive connections that all clients share: a client holds one for the length of an exchange, and the next exchange
 * of anybody's with the same destination takes it over.
 */
export class ConnectionPool {
  readonly #agents = new Map<string, Agent>();
  readonly #open: (to: Destination, route: string) => Promise<Socket>;
  readonly #openedAt = new WeakMap<Duplex, number>();
  readonly #now: () => number;

  /**
   * @param open opens a connection to a destination by the route of that name
   * @param now milliseconds of a clock that never goes back
   */
  constructor(open: (to: Destination, route: string) => Promise<Socket>, now: () => number = () => performance.now()) {
    this.#open = open;
    this.#now = now;
  }

  /** The pool's part for one route, to be handed to `http.request`. */
  agentFor(route: string): Agent {
    const known = this.#agents.get(route);
    if (known !== undefined) return known;
    const agent = this.#createAgent(route);
    this.#agents.set(route, agent);
    return agent;
  }

  /** Closes what is idle and what is in use. */
  destroy(): void {
    for (const agent of this.#agents.values()) agent.destroy();
  }

  #createAgent(route: string): Agent {
    const agent = new Agent({
      keepAlive: true,
      scheduling: "lifo",
      maxFreeSockets: PROXY_LIMITS.IDLE_CONNECTIONS_PER_ROUTE_MAX,
      timeout: PROXY_LIMITS.IDLE_CONNECTION_MS,
    });
    agent.createConnection = (options: ClientRequestArgs, done?: (error: Error | null, socket: Duplex) => void) => {
      const to = { host: String(options.host), port: Number(options.port) };
      this.#open(to, route).then(
        (socket) => {
          this.#openedAt.set(socket, this.#now());
          done?.(null, socket);
        },
        // Node asks for a socket beside an error; it looks at the error first.
        (error: Error) => done?.(error, undefined as unknown as Duplex),
      );
      return undefined;
    };
    const keep = agent.keepSocketAlive.bind(agent);
    agent.keepSocketAlive = (socket) => {
      const ageMs = this.#now() - (this.#openedAt.get(socket) ?? 0);
      const isKept = ageMs < PROXY_LIMITS.CONNECTION_AGE_MS && this.#idle() < PROXY_LIMITS.IDLE_CONNECTIONS_MAX;
      return isKept && Boolean(keep(socket));
    };
    return agent;
  }

  #idle(): number {
    let idle = 0;
    for (const agent of this.#agents.values()) {
      for (const sockets of Object.values(agent.freeSockets)) idle += sockets?.length ?? 0;
    }
    return idle;
  }
}
