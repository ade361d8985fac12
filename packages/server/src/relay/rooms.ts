import type { Server } from "node:http";
import { GgrokError, MemoryBudget } from "@ggrok/protocol";
import type { FastifyInstance } from "fastify";
import { nanoid } from "nanoid";
import { createAdminApp } from "../admin/app.ts";
import { type AdminDeps, addAdminRoutes } from "../admin/routes.ts";
import { Authenticator } from "../auth/authenticator.ts";
import type { Principal } from "../auth/principal.ts";
import { TokenBook } from "../auth/token-book.ts";
import { Upkeep } from "../auth/upkeep.ts";
import type { RelayConfig } from "../config/config.ts";
import { createNetworkTest } from "../config/values.ts";
import type { Certificates } from "../connection/certificates.ts";
import { ConnectionFront } from "../connection/front.ts";
import { createConnect } from "../control/connect.ts";
import { ConnectorDirectory } from "../control/connector.ts";
import { AgentDirectory } from "../control/directory.ts";
import { TrustedPeers } from "../ingress/forwarded.ts";
import { Ingress } from "../ingress/ingress.ts";
import { clientOfRequest } from "../ingress/request-origin.ts";
import { TcpPorts } from "../ingress/tcp-ports.ts";
import type { OverloadWatch } from "../limits/overload.ts";
import { processMemoryBytes } from "../limits/process-memory.ts";
import { RELAY_LIMITS } from "../limits.ts";
import { createHttpListener, type HttpListener } from "../listener/http-listener.ts";
import type { Logger } from "../observability/logger.ts";
import { countExchange, createMetrics, type Levels, MetricsReader } from "../observability/metrics.ts";
import { Ports } from "../registry/ports.ts";
import { Registry } from "../registry/registry.ts";
import { Reservations } from "../registry/reservations.ts";
import { RELAY_VERSION } from "../version.ts";
import { readLevels, viewStatus } from "./levels.ts";
import { createOrigins } from "./origin.ts";
import { createOverloadWatch } from "./overload-watch.ts";
import { openCertificates, openStore } from "./resources.ts";
import { createSessions } from "./sessions.ts";

/** The rooms of one relay that have a life: what is started and ended. */
export interface Rooms {
  readonly certificates: Certificates | undefined;
  readonly overload: OverloadWatch;
  readonly tokens: TokenBook;
  readonly upkeep: Upkeep;
  /** Raw public ports that tunnels have, and what listens there. */
  readonly ports: Ports;
  readonly tcpPorts: TcpPorts;
  readonly registry: Registry;
  readonly directory: AgentDirectory;
  readonly connectors: ConnectorDirectory;
  readonly ingress: Ingress;
  readonly app: FastifyInstance;
  readonly listener: HttpListener;
}

/**
 * Makes every room and joins it to those it needs. Files are opened, nothing runs and nothing listens.
 *
 * @param state where the relay is in its life; asked when it matters
 * @throws GgrokError ERR_GGROK_CONFIG_INVALID when a file that is configured cannot be used
 */
export function joinRooms(config: RelayConfig, logger: Logger, state: AdminDeps["state"]): Rooms {
  const { domain, holdMs, parkMs, proxyProtocol, allowAnonymous } = config;
  const certificates = openCertificates(config, logger);
  // Behind the certificates, which hold nothing open when they are wrong.
  const store = openStore(config);
  const metrics = createMetrics();
  const relayId = nanoid();
  const publicHost = config.publicUrl === undefined ? undefined : new URL(config.publicUrl).hostname;
  const names = { domain, publicHost };
  const trusted = new TrustedPeers(config.trustProxy);
  const origins = createOrigins(config, trusted);

  // What there is to run short of.
  const budget = new MemoryBudget(Math.floor(processMemoryBytes() * RELAY_LIMITS.payloadMemoryShare));
  const overload = createOverloadWatch(metrics, logger);
  const isOverloaded = (): boolean => overload.isOverloaded;

  // Who may have which name, and who has it.
  const tokens = new TokenBook({ tokens: config.tokens, adminToken: config.adminToken, store, now: Date.now });
  const authenticator = new Authenticator({ tokens, allowAnonymous });
  const reservations = new Reservations({ store, names, now: Date.now });
  const isTrusted = createNetworkTest(config.trustProxy);
  // Without certificates: what a TCP tunnel carries is encrypted at its ends.
  const tcpFront = new ConnectionFront({ proxyProtocol, isTrusted });
  const tcpPorts = new TcpPorts(
    config.bind,
    (socket, host) => void tcpFront.receive(socket, (ready) => ingress.onTcp(ready, host)),
  );
  const ports = new Ports(config.tcpPorts, (port, host) => tcpPorts.open(port, host));
  const registry = new Registry({ names, reservations, holdMs, parkMs, ports, logger, now: Date.now });
  const upkeep = new Upkeep({ store, tokens, registry, reservations, logger });

  // Visitors come in here, agents there: the two meet in the registry alone.
  const ingress = new Ingress({
    isOverloaded,
    router: registry,
    config,
    trusted,
    logger,
    relayId,
    tcp: { router: registry, authenticator },
    metrics: {
      countExchange: (record) => countExchange(metrics, record),
      countRedispatch: () => {
        metrics.redispatches += 1;
      },
      countRefusedConnection: () => {
        metrics.refusedConnections += 1;
      },
    },
  });
  const directory = new AgentDirectory();
  const connectors = new ConnectorDirectory();
  const connect = createConnect({
    authenticator,
    directory,
    connectors,
    registry,
    metrics,
    budget,
    logger,
    relayId,
    holdMs,
    parkMs,
    domain,
    clientOf: (req) => clientOfRequest(req, trusted),
    originOf: origins.forAgent,
    isDraining: () => state() === "draining",
    isOverloaded,
  });
  tokens.onRevoked((principal) => endSessions(principal, { directory, connectors, ingress }));

  // The one server that all of them enter by is made around the handler of the relay's own paths.
  let listener: HttpListener | undefined;
  const front = new ConnectionFront({ proxyProtocol, isTrusted, ...(certificates !== undefined && { certificates }) });
  const app = createAdminApp({
    createServer: (onAdminRequest): Server => {
      listener = createHttpListener(
        { visitors: ingress, onAdminRequest, onAgent: connect.onUpgrade },
        { hosts: names, front, keepAliveMs: config.keepAliveMs ?? RELAY_LIMITS.keepAliveMs },
      );
      return listener.server;
    },
  });
  if (listener === undefined) throw new Error("the server is made when the admin app is");
  const startedAt = new Date();
  const levels = (): Levels => readLevels({ ingress, registry, directory, budget, tokens, store, overload });
  addAdminRoutes(app, {
    authenticator,
    tokens,
    store,
    names,
    registry,
    sessions: createSessions(directory, registry),
    version: RELAY_VERSION,
    originOf: origins.forInvite,
    state,
    status: () => viewStatus(levels(), { state: state(), startedAt, config, store }),
    isCertifiable: (host) =>
      host === domain || host === publicHost || registry.serves(host) || reservations.isReservedHost(host),
    metrics: new MetricsReader({ metrics, version: RELAY_VERSION, levels }),
  });
  return {
    certificates,
    overload,
    tokens,
    upkeep,
    ports,
    tcpPorts,
    registry,
    directory,
    connectors,
    ingress,
    app,
    listener,
  };
}

function endSessions(
  principal: Principal,
  { directory, connectors, ingress }: Pick<Rooms, "directory" | "connectors" | "ingress">,
): void {
  const error = new GgrokError("ERR_GGROK_TOKEN_REFUSED", { message: "the token was revoked or has expired" });
  for (const agent of directory.all) if (agent.rights === principal) agent.destroy(error);
  for (const connector of connectors.all) if (connector.principal === principal) connector.destroy(error);
  ingress.endConnectionsOf(principal);
}
