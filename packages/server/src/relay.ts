import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { totalmem } from "node:os";
import type { Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { GgrokError, MemoryBudget } from "@ggrok/protocol";
import type { FastifyInstance } from "fastify";
import { nanoid } from "nanoid";
import { createAdminApp } from "./admin/app.ts";
import { addAdminRoutes } from "./admin/routes.ts";
import type { StatusView } from "./admin/views.ts";
import { Authenticator } from "./auth/authenticator.ts";
import type { Principal } from "./auth/principal.ts";
import { TokenBook } from "./auth/token-book.ts";
import { Upkeep } from "./auth/upkeep.ts";
import type { RelayConfig } from "./config/config.ts";
import { createNetworkTest } from "./config/values.ts";
import { Certificates } from "./connection/certificates.ts";
import { ConnectionFront } from "./connection/front.ts";
import { createConnect } from "./control/connect.ts";
import { ConnectorDirectory } from "./control/connector.ts";
import { AgentDirectory } from "./control/directory.ts";
import { TrustedPeers } from "./ingress/forwarded.ts";
import { Ingress } from "./ingress/ingress.ts";
import { clientOfRequest } from "./ingress/request-origin.ts";
import { TcpPorts } from "./ingress/tcp-ports.ts";
import { OverloadWatch } from "./limits/overload.ts";
import { RELAY_LIMITS } from "./limits.ts";
import { createHttpListener, type HttpListener } from "./listener/http-listener.ts";
import { createLogger, type Logger, logEvent, logListening } from "./observability/logger.ts";
import { countExchange, createMetrics, type Levels, type Metrics, MetricsReader } from "./observability/metrics.ts";
import { createSessions } from "./operator.ts";
import { createOrigins, urlOfRelay } from "./origin.ts";
import { Ports } from "./registry/ports.ts";
import { Registry } from "./registry/registry.ts";
import { Reservations } from "./registry/reservations.ts";
import { MemoryStore } from "./store/memory.ts";
import { SqliteStore } from "./store/sqlite.ts";
import type { Store } from "./store/store.ts";
import { RELAY_VERSION } from "./version.ts";

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
  const relay = new RelayProcess(config, openStore(config.dataDir), options.logDestination);
  await relay.start();
  return relay;
}

function openStore(dataDir: string | undefined): Store {
  if (dataDir === undefined) return new MemoryStore();
  try {
    return new SqliteStore(dataDir);
  } catch (error) {
    const message = `data-dir: ${error instanceof Error ? error.message : String(error)}`;
    throw new GgrokError("ERR_GGROK_CONFIG_INVALID", { message, cause: error });
  }
}

class RelayProcess implements Relay {
  readonly #config: RelayConfig;
  readonly #logger: Logger;
  readonly #metrics: Metrics = createMetrics();
  readonly #budget: MemoryBudget;
  readonly #directory = new AgentDirectory();
  readonly #connectors = new ConnectorDirectory();
  readonly #certificates: Certificates | undefined;
  readonly #tcpPorts: TcpPorts;
  readonly #ports: Ports;
  readonly #registry: Registry;
  readonly #ingress: Ingress;
  readonly #store: Store;
  readonly #overload: OverloadWatch;
  readonly #tokens: TokenBook;
  readonly #upkeep: Upkeep;
  readonly #app: FastifyInstance;
  readonly #startedAt = new Date();
  #listener: HttpListener | undefined;
  #state: "starting" | "ready" | "draining" = "starting";
  #address: AddressInfo | undefined;
  #closing: Promise<void> | undefined;

  constructor(config: RelayConfig, store: Store, logDestination: Writable | undefined) {
    this.#config = config;
    this.#store = store;
    this.#logger = createLogger({
      format: config.logFormat,
      level: config.logLevel,
      ...(logDestination !== undefined && { destination: logDestination }),
    });
    this.#budget = new MemoryBudget(Math.floor(processMemoryBytes() * RELAY_LIMITS.payloadMemoryShare));
    const publicHost = config.publicUrl === undefined ? undefined : new URL(config.publicUrl).hostname;
    const hosts = { domain: config.domain, publicHost };
    const { holdMs, parkMs } = config;
    const logger = this.#logger;
    const relayId = nanoid();
    this.#overload = this.#watchOverload();
    const isOverloaded = (): boolean => this.#overload.isOverloaded;
    const reservations = new Reservations({ store, names: hosts, now: Date.now });
    this.#certificates = this.#openCertificates();
    const { proxyProtocol } = config;
    const isTrusted = createNetworkTest(config.trustProxy);
    const trusted = new TrustedPeers(config.trustProxy);
    const origins = createOrigins(config, trusted);
    const tcpFront = new ConnectionFront({ proxyProtocol, isTrusted });
    this.#tcpPorts = new TcpPorts(
      config.bind,
      (socket, host) => void tcpFront.receive(socket, (ready) => this.#ingress.onTcp(ready, host)),
    );
    this.#ports = new Ports(config.tcpPorts, (port, host) => this.#tcpPorts.open(port, host));
    this.#registry = new Registry({
      names: hosts,
      reservations,
      holdMs,
      parkMs,
      ports: this.#ports,
      logger,
      now: Date.now,
    });
    const tokens = new TokenBook({ tokens: config.tokens, adminToken: config.adminToken, store, now: Date.now });
    this.#tokens = tokens;
    tokens.onRevoked((principal) => this.#endSessionsOf(principal));
    this.#upkeep = new Upkeep({ store, tokens, registry: this.#registry, reservations, logger });
    const { allowAnonymous } = config;
    const authenticator = new Authenticator({ tokens, allowAnonymous });
    this.#ingress = new Ingress({
      isOverloaded,
      router: this.#registry,
      config,
      trusted,
      logger,
      relayId,
      tcp: { router: this.#registry, authenticator },
      metrics: {
        countExchange: (record) => countExchange(this.#metrics, record),
        countRedispatch: () => {
          this.#metrics.redispatches += 1;
        },
        countRefusedConnection: () => {
          this.#metrics.refusedConnections += 1;
        },
      },
    });
    const connect = createConnect({
      authenticator,
      directory: this.#directory,
      connectors: this.#connectors,
      registry: this.#registry,
      metrics: this.#metrics,
      budget: this.#budget,
      logger,
      relayId,
      holdMs,
      parkMs,
      domain: config.domain,
      clientOf: (req) => clientOfRequest(req, trusted),
      originOf: origins.forAgent,
      isDraining: () => this.#state === "draining",
      isOverloaded,
    });
    this.#app = createAdminApp({
      createServer: (onAdminRequest): Server => {
        const handlers = { visitors: this.#ingress, onAdminRequest, onAgent: connect.onUpgrade };
        this.#listener = createHttpListener(handlers, {
          hosts,
          front: new ConnectionFront({
            proxyProtocol,
            isTrusted,
            ...(this.#certificates !== undefined && { certificates: this.#certificates }),
          }),
          keepAliveMs: config.keepAliveMs ?? RELAY_LIMITS.keepAliveMs,
        });
        return this.#listener.server;
      },
    });
    const { domain } = config;
    addAdminRoutes(this.#app, {
      authenticator,
      tokens,
      store,
      names: hosts,
      registry: this.#registry,
      sessions: createSessions(this.#directory, this.#registry),
      version: RELAY_VERSION,
      originOf: origins.forInvite,
      state: () => this.#state,
      status: () => this.#status(),
      isCertifiable: (host) =>
        host === domain || host === publicHost || this.#registry.serves(host) || reservations.isReservedHost(host),
      metrics: new MetricsReader({
        metrics: this.#metrics,
        version: RELAY_VERSION,
        levels: () => this.#levels(),
      }),
    });
  }

  get port(): number {
    return this.#address?.port ?? 0;
  }

  get url(): string {
    return urlOfRelay(this.#config, this.port);
  }

  async start(): Promise<void> {
    // Routes are complete before the port is open: the first request must not find half a relay.
    await this.#app.ready();
    this.#upkeep.start();
    this.#certificates?.start();
    this.#overload.start();
    try {
      this.#address = await this.#listen();
    } catch (error) {
      this.#overload.stop();
      this.#upkeep.close();
      throw error;
    }
    this.#state = "ready";
    // Announced last: whoever reads this line can connect.
    logListening(this.#logger, { url: this.url, port: this.port });
    this.#warn();
  }

  close(graceMs: number = this.#config.graceMs): Promise<void> {
    this.#closing ??= this.#drain(graceMs);
    return this.#closing;
  }

  async destroy(): Promise<void> {
    this.#state = "draining";
    // While names are still held: what they last counts from now.
    this.#upkeep.write();
    this.#ingress.destroy();
    this.#registry.releaseParked();
    for (const agent of this.#directory.all) agent.destroy(new GgrokError("ERR_GGROK_RELAY_DRAINING"));
    for (const connector of this.#connectors.all) connector.destroy(new GgrokError("ERR_GGROK_RELAY_DRAINING"));
    this.#ports.close();
    this.#tcpPorts.destroy();
    this.#listener?.destroy();
    this.#certificates?.close();
    await this.#app.close();
    this.#overload.stop();
    // Last: requests on open connections still ask whose a name is.
    this.#upkeep.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #openCertificates(): Certificates | undefined {
    const files = this.#config.tls;
    if (files.length === 0) return undefined;
    try {
      return new Certificates({
        files,
        onReload: (subjects) =>
          this.#logger.info({ event: "relay.certificates", subjects }, "other certificates are in use now"),
        onFailure: (error) =>
          this.#logger.error({ event: "relay.certificates", err: error }, "the certificates before stay in use"),
      });
    } catch (error) {
      const message = `tls-cert: ${error instanceof Error ? error.message : String(error)}`;
      throw new GgrokError("ERR_GGROK_CONFIG_INVALID", { message, cause: error });
    }
  }

  #watchOverload(): OverloadWatch {
    const { overloadLagMs, overloadMemoryShare, overloadMemoryClearShare, overloadChecks, overloadCheckMs } =
      RELAY_LIMITS;
    return new OverloadWatch({
      marks: {
        lagMs: overloadLagMs,
        memoryShare: overloadMemoryShare,
        memoryClearShare: overloadMemoryClearShare,
        checks: overloadChecks,
      },
      intervalMs: overloadCheckMs,
      memoryBytes: processMemoryBytes(),
      onChange: (isOverloaded, { lagMs, memoryShare }) => {
        if (isOverloaded) this.#metrics.overloads += 1;
        const event = isOverloaded ? "relay.overloaded" : "relay.recovered";
        const text = isOverloaded ? "overloaded: new work is refused" : "new work is taken again";
        this.#logger.warn({ event, lagMs: Math.round(lagMs), memoryShare: Math.round(memoryShare * 100) / 100 }, text);
      },
    });
  }

  #endSessionsOf(principal: Principal): void {
    const error = new GgrokError("ERR_GGROK_TOKEN_REFUSED", { message: "the token was revoked or has expired" });
    for (const agent of this.#directory.all) if (agent.rights === principal) agent.destroy(error);
    for (const connector of this.#connectors.all) if (connector.principal === principal) connector.destroy(error);
    this.#ingress.endConnectionsOf(principal);
  }

  #status(): StatusView {
    const { domain, publicUrl } = this.#config;
    const levels = this.#levels();
    return {
      state: this.#state,
      isOverloaded: levels.isOverloaded,
      version: RELAY_VERSION,
      startedAt: this.#startedAt.toISOString(),
      domain: domain ?? null,
      publicUrl: publicUrl ?? null,
      store: this.#store.isDurable ? "sqlite" : "memory",
      sessions: levels.sessions,
      lostSessions: levels.lostSessions,
      tunnels: levels.endpoints,
      tokens: levels.tokens,
      reservations: levels.reservations,
      openExchanges: levels.openExchanges,
      parkedExchanges: levels.parkedExchanges,
      eventLoopLagMs: levels.eventLoopLagMs,
      memoryBytes: levels.memoryBytes,
    };
  }

  #levels(): Levels {
    const agents = this.#directory.all;
    return {
      openExchanges: this.#ingress.openExchanges,
      parkedExchanges: this.#registry.parking.count,
      parkedBytes: this.#registry.parking.bytes,
      heldPayloadBytes: this.#budget.heldBytes,
      endpoints: this.#registry.endpointCount,
      sessions: this.#directory.size,
      lostSessions: agents.filter((agent) => agent.isAway).length,
      streams: agents.reduce((sum, { session }) => sum + session.streamCount, 0),
      tokens: this.#tokens.storedCount,
      reservations: this.#store.countReservations(Date.now()),
      isOverloaded: this.#overload.isOverloaded,
      eventLoopLagMs: this.#overload.lagMs,
      memoryBytes: process.memoryUsage.rss(),
      memoryLimitBytes: processMemoryBytes(),
    };
  }

  async #drain(graceMs: number): Promise<void> {
    const deadline = performance.now() + graceMs;
    // Readiness first, so that a front end stops sending before anything is refused.
    this.#state = "draining";
    // Then the port: the next process can have it while this one finishes.
    await this.#listener?.stopAccepting(RELAY_LIMITS.drainLingerMs);
    this.#ports.close();
    logEvent(
      this.#logger,
      "relay.draining",
      { graceMs, exchanges: this.#ingress.openExchanges, sessions: this.#directory.size },
      "draining",
    );
    // Then the visitors' side: nothing is parked any more, since nobody comes back to this process.
    const exchangesEnded = this.#ingress.close();
    this.#registry.releaseParked();
    // Agents last, since open exchanges need them; one after the other, so that they do not reach the next relay at once.
    const finished = new AbortController();
    const { signal } = finished;
    const timeUp = delay(graceMs, undefined, { signal }).catch(() => {});
    const connectorsEnded = this.#connectors.all.map((connector) => connector.drain(graceMs));
    const agentsEnded = this.#drainAgents(graceMs, deadline, signal);
    await Promise.race([Promise.all([exchangesEnded, agentsEnded, ...connectorsEnded]), timeUp]);
    finished.abort();
    // The last bytes and the closing handshakes are still on their way.
    await this.#listener?.settled(RELAY_LIMITS.goodbyeMs);
    await this.destroy();
    logEvent(this.#logger, "relay.stopped", {}, "stopped");
    await new Promise<void>((resolve) => this.#logger.flush(() => resolve()));
  }

  async #drainAgents(graceMs: number, deadline: number, signal: AbortSignal): Promise<void> {
    const agents = this.#directory.all;
    const spreadMs = Math.min(graceMs / 3, (agents.length * 1_000) / RELAY_LIMITS.drainsPerSecond);
    await Promise.all(
      agents.map(async (agent, index) => {
        await delay((spreadMs * index) / agents.length, undefined, { signal }).catch(() => {});
        await agent.drain(Math.max(0, Math.round(deadline - performance.now())));
      }),
    );
  }

  async #listen(): Promise<AddressInfo> {
    const { port, bind } = this.#config;
    if (this.#listener === undefined) throw new Error("the server is made when the admin app is");
    return this.#listener.listen(port, bind);
  }

  /** What an operator should know at once. */
  #warn(): void {
    const { allowAnonymous, domain, dataDir } = this.#config;
    const notice = (text: string): void => this.#logger.warn({ event: "relay.notice" }, text);
    if (allowAnonymous) notice("ANONYMOUS AGENTS ARE ALLOWED: everyone who reaches this relay can publish through it");
    else if (!this.#tokens.hasAgentTokens) {
      const how = dataDir === undefined ? "set --token" : "make one with `ggrok-relay token create`";
      notice(`no token is configured: agents are taken from this machine only; ${how} to take others`);
    }
    const mode =
      domain === undefined
        ? "single-host mode: an agent that asks for no name gets every host"
        : `wildcard mode: tunnels live at NAME.${domain}`;
    const kept = dataDir === undefined ? "in memory only" : `in ${dataDir}`;
    this.#logger.info({ event: "relay.notice" }, `${mode}; names are kept ${kept}`);
  }
}

/** Memory this process may use: the container's limit where there is one. */
function processMemoryBytes(): number {
  const limit = process.constrainedMemory();
  return limit > 0 && limit < totalmem() ? limit : totalmem();
}
