import { nanoid } from "nanoid";
import { RELAY_LIMITS } from "../limits.ts";
import { type ExchangeRecord, logExchange } from "../observability/access-log.ts";
import type { Logger } from "../observability/logger.ts";
import type { IngressContext, StallLimits } from "./context.ts";
import type { TrustedPeers } from "./forwarded.ts";
import { viaOf } from "./loop.ts";
import { ReplayBudget } from "./replay-buffer.ts";
import { StallWatch } from "./stall-watch.ts";

/** Settings of {@link Exchanges}. */
interface ExchangesConfig {
  /** How long a request waits for an agent that is away, in milliseconds. */
  readonly parkMs: number;
  /** The platform's front end gives up on an answer that has not begun by then, in milliseconds. */
  readonly firstByteMs?: number | undefined;
  /** Instead of the relay's own limits. */
  readonly stallLimits?: StallLimits;
}

/** What is counted of exchanges. */
interface ExchangeMetrics {
  /** An exchange has ended, or was refused. */
  countExchange(record: ExchangeRecord): void;
  /** An exchange was sent again because its session broke before the answer. */
  countRedispatch(): void;
}

/** What {@link Exchanges} is made of. */
export interface ExchangesDeps {
  readonly config: ExchangesConfig;
  /** The front ends whose forwarding fields are believed. */
  readonly trusted: TrustedPeers;
  readonly logger: Logger;
  readonly metrics: ExchangeMetrics;
  /** Names this relay among others in `Via`. */
  readonly relayId: string;
}

/** All exchanges of a relay: what they share, how many are open, and what is told of each when it has ended. */
export class Exchanges implements IngressContext {
  readonly #metrics: ExchangeMetrics;
  // A number and not a set of them: a Map that every request enters and leaves is rehashed now and then, the old tables
  // keep dead exchanges reachable for the young generation, and collecting them costs as much as all the rest.
  #open = 0;
  #closing: PromiseWithResolvers<void> | undefined;

  readonly logger: Logger;
  readonly relayId: string;
  readonly via: IngressContext["via"];
  readonly parkMs: number;
  readonly firstByteMs: number | undefined;
  readonly stallLimits: StallLimits;
  readonly trusted: TrustedPeers;
  readonly replayBudget = new ReplayBudget(RELAY_LIMITS.replayTotalBytes);
  readonly stalls: StallWatch;
  readonly newRequestId: () => string = nanoid;

  constructor({ config, trusted, logger, metrics, relayId }: ExchangesDeps) {
    this.#metrics = metrics;
    this.logger = logger;
    this.relayId = relayId;
    this.via = { "1.0": viaOf("1.0", relayId), "1.1": viaOf("1.1", relayId) };
    this.parkMs = config.parkMs;
    this.firstByteMs = config.firstByteMs;
    this.stallLimits = config.stallLimits ?? RELAY_LIMITS;
    this.stalls = new StallWatch(this.stallLimits.stallCheckIntervalMs);
    this.trusted = trusted;
  }

  get openCount(): number {
    return this.#open;
  }
  get isDraining(): boolean {
    return this.#closing !== undefined;
  }

  /** One more is open; its {@link onEnd} or {@link leave} must follow. */
  enter(): void {
    this.#open += 1;
  }

  /** One that was open is not any more, without a word about it. */
  leave(): void {
    this.#open -= 1;
    if (this.#open === 0) this.#closing?.resolve();
  }

  onEnd(record: ExchangeRecord): void {
    this.report(record);
    this.leave();
  }

  /** Counts and logs one that is over, or was refused before it began. */
  report(record: ExchangeRecord): void {
    this.#metrics.countExchange(record);
    logExchange(this.logger, record);
  }

  onRedispatch(): void {
    this.#metrics.countRedispatch();
  }

  /** Nothing is parked any more; resolves when none is open. */
  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#closing = Promise.withResolvers();
      if (this.#open === 0) this.#closing.resolve();
    }
    return this.#closing.promise;
  }

  /** Stops every clock. The exchanges end with their connections, which are the listener's. */
  destroy(): void {
    void this.close();
    this.stalls.close();
  }
}
