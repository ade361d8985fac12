import type { MemoryBudget } from "@ggrok/protocol";
import type { StatusView } from "../admin/views.ts";
import type { TokenBook } from "../auth/token-book.ts";
import type { RelayConfig } from "../config/config.ts";
import type { AgentDirectory } from "../control/directory.ts";
import type { Ingress } from "../ingress/ingress.ts";
import type { OverloadWatch } from "../limits/overload.ts";
import { processMemoryBytes } from "../limits/process-memory.ts";
import type { Levels } from "../observability/metrics.ts";
import type { Registry } from "../registry/registry.ts";
import type { Store } from "../store/store.ts";
import { RELAY_VERSION } from "../version.ts";

/** The rooms that know how much there is of what. */
export interface LevelSources {
  readonly ingress: Ingress;
  readonly registry: Registry;
  readonly directory: AgentDirectory;
  readonly budget: MemoryBudget;
  readonly tokens: TokenBook;
  readonly store: Store;
  readonly overload: OverloadWatch;
}

/** How much there is of everything, now. */
export function readLevels(from: LevelSources): Levels {
  const { ingress, registry, directory, budget, tokens, store, overload } = from;
  const agents = directory.all;
  return {
    openExchanges: ingress.openExchanges,
    parkedExchanges: registry.parking.count,
    parkedBytes: registry.parking.bytes,
    heldPayloadBytes: budget.heldBytes,
    endpoints: registry.endpointCount,
    sessions: directory.size,
    lostSessions: agents.filter((agent) => agent.isAway).length,
    streams: agents.reduce((sum, { session }) => sum + session.streamCount, 0),
    tokens: tokens.storedCount,
    reservations: store.countReservations(Date.now()),
    isOverloaded: overload.isOverloaded,
    eventLoopLagMs: overload.lagMs,
    memoryBytes: process.memoryUsage.rss(),
    memoryLimitBytes: processMemoryBytes(),
  };
}

/** What the status says besides the levels. */
export interface StatusSources {
  readonly state: StatusView["state"];
  readonly startedAt: Date;
  readonly config: Pick<RelayConfig, "domain" | "publicUrl">;
  readonly store: Store;
}

/** The levels as the operator sees them, and what kind of relay this is. */
export function viewStatus(levels: Levels, { state, startedAt, config, store }: StatusSources): StatusView {
  return {
    state,
    isOverloaded: levels.isOverloaded,
    version: RELAY_VERSION,
    startedAt: startedAt.toISOString(),
    domain: config.domain ?? null,
    publicUrl: config.publicUrl ?? null,
    store: store.isDurable ? "sqlite" : "memory",
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
