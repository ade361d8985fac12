import type { ExchangeRecord } from "../observability/access-log.ts";
import type { Logger } from "../observability/logger.ts";
import type { ReplayBudget } from "./replay-buffer.ts";
import type { HeadContext } from "./request-head.ts";
import type { StallWatch } from "./stall-watch.ts";

/** How long a visitor may stand still while the relay is ready to take, or has bytes to give. */
export interface StallLimits {
  readonly bodyStallMs: number;
  readonly bodyStallBytes: number;
  readonly readerStallMs: number;
  readonly stallCheckIntervalMs: number;
}

/** What every exchange shares with the others of its relay. */
export interface IngressContext extends HeadContext {
  readonly logger: Logger;
  readonly parkMs: number;
  /** The platform's front end gives up on an answer that has not begun by then; undefined where nothing does. */
  readonly firstByteMs: number | undefined;
  readonly stallLimits: StallLimits;
  readonly replayBudget: ReplayBudget;
  readonly stalls: StallWatch;
  /** The relay is leaving: what cannot be served now is not parked. */
  readonly isDraining: boolean;
  /** An exchange has ended; called exactly once for each that began. */
  onEnd(record: ExchangeRecord): void;
  /** An exchange was sent again after its session broke. */
  onRedispatch(): void;
}
