import type { AddressInfo } from "node:net";
import type { Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { GgrokError } from "@ggrok/protocol";
import type { RelayConfig } from "./config/config.ts";
import { RELAY_LIMITS } from "./limits.ts";
import { createLogger, type Logger, logEvent, logListening } from "./observability/logger.ts";
import { logNotices } from "./relay/notices.ts";
import { urlOfRelay } from "./relay/origin.ts";
import { joinRooms, type Rooms } from "./relay/rooms.ts";

/** A running relay. */
export interface Relay extends AsyncDisposable {
  /** Where it listens, as a URL that works on this machine; the public URL when one is configured. */
  readonly url: string;
  readonly port: number;
  /** Drains: readiness off, no new connections, agents told to go elsewhere, open exchanges finish. At the deadline what is left ends. */
  close(graceMs?: number): Promise<void>;
  /** Ends now. */
  destroy(): Promise<void>;
}

/** Starts a relay from a checked configuration. */
export async function startRelay(config: RelayConfig, options: { logDestination?: Writable } = {}): Promise<Relay> {
  const { logFormat: format, logLevel: level } = config;
  const { logDestination: destination } = options;
  const logger = createLogger({ format, level, ...(destination !== undefined && { destination }) });
  const relay = new RelayProcess(config, logger);
  await relay.start();
  return relay;
}

/** The life of a relay: in which order its rooms are started and ended, and why in this one. */
class RelayProcess implements Relay {
  readonly #config: RelayConfig;
  readonly #logger: Logger;
  readonly #rooms: Rooms;
  #state: "starting" | "ready" | "draining" = "starting";
  #address: AddressInfo | undefined;
  #closing: Promise<void> | undefined;

  constructor(config: RelayConfig, logger: Logger) {
    this.#config = config;
    this.#logger = logger;
    this.#rooms = joinRooms(config, logger, () => this.#state);
  }

  get port(): number {
    return this.#address?.port ?? 0;
  }

  get url(): string {
    return urlOfRelay(this.#config, this.port);
  }

  async start(): Promise<void> {
    const { app, upkeep, certificates, overload, listener, tokens } = this.#rooms;
    // Routes are complete before the port is open: the first request must not find half a relay.
    await app.ready();
    upkeep.start();
    certificates?.start();
    overload.start();
    try {
      this.#address = await listener.listen(this.#config.port, this.#config.bind);
    } catch (error) {
      overload.stop();
      certificates?.close();
      upkeep.close();
      throw error;
    }
    this.#state = "ready";
    // Announced last: whoever reads this line can connect.
    logListening(this.#logger, { url: this.url, port: this.port });
    logNotices(this.#config, tokens.hasAgentTokens, this.#logger);
  }

  close(graceMs: number = this.#config.graceMs): Promise<void> {
    this.#closing ??= this.#drain(graceMs);
    return this.#closing;
  }

  async destroy(): Promise<void> {
    const { upkeep, ingress, registry, directory, connectors, ports, tcpPorts, listener } = this.#rooms;
    const { certificates, app, overload } = this.#rooms;
    this.#state = "draining";
    // While names are still held: what they last counts from now.
    upkeep.write();
    ingress.destroy();
    registry.releaseParked();
    for (const agent of directory.all) agent.destroy(new GgrokError("ERR_GGROK_RELAY_DRAINING"));
    for (const connector of connectors.all) connector.destroy(new GgrokError("ERR_GGROK_RELAY_DRAINING"));
    ports.close();
    tcpPorts.destroy();
    listener.destroy();
    certificates?.close();
    await app.close();
    overload.stop();
    // Last: requests on open connections still ask whose a name is.
    upkeep.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #drain(graceMs: number): Promise<void> {
    const { listener, ports, ingress, registry, directory, connectors } = this.#rooms;
    const deadline = performance.now() + graceMs;
    // Readiness first, so that a front end stops sending before anything is refused.
    this.#state = "draining";
    // Then the port: the next process can have it while this one finishes.
    await listener.stopAccepting(RELAY_LIMITS.drainLingerMs);
    ports.close();
    logEvent(
      this.#logger,
      "relay.draining",
      { graceMs, exchanges: ingress.openExchanges, sessions: directory.size },
      "draining",
    );
    // Then the visitors' side: nothing is parked any more, since nobody comes back to this process.
    const exchangesEnded = ingress.close();
    registry.releaseParked();
    // Agents last, since open exchanges need them; one after the other, so that they do not reach the next relay at once.
    const finished = new AbortController();
    const { signal } = finished;
    const timeUp = delay(graceMs, undefined, { signal }).catch(() => {});
    const connectorsEnded = connectors.all.map((connector) => connector.drain(graceMs));
    const agentsEnded = this.#drainAgents(graceMs, deadline, signal);
    await Promise.race([Promise.all([exchangesEnded, agentsEnded, ...connectorsEnded]), timeUp]);
    finished.abort();
    // The last bytes and the closing handshakes are still on their way.
    await listener.settled(RELAY_LIMITS.goodbyeMs);
    await this.destroy();
    logEvent(this.#logger, "relay.stopped", {}, "stopped");
    await new Promise<void>((resolve) => this.#logger.flush(() => resolve()));
  }

  async #drainAgents(graceMs: number, deadline: number, signal: AbortSignal): Promise<void> {
    const agents = this.#rooms.directory.all;
    const spreadMs = Math.min(graceMs / 3, (agents.length * 1_000) / RELAY_LIMITS.drainsPerSecond);
    await Promise.all(
      agents.map(async (agent, index) => {
        await delay((spreadMs * index) / agents.length, undefined, { signal }).catch(() => {});
        await agent.drain(Math.max(0, Math.round(deadline - performance.now())));
      }),
    );
  }
}
