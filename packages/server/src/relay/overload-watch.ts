import { OverloadWatch } from "../limits/overload.ts";
import { processMemoryBytes } from "../limits/process-memory.ts";
import { RELAY_LIMITS } from "../limits.ts";
import type { Logger } from "../observability/logger.ts";
import type { Metrics } from "../observability/metrics.ts";

/** A watch by the relay's limits that counts and logs each change. */
export function createOverloadWatch(metrics: Metrics, logger: Logger): OverloadWatch {
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
      if (isOverloaded) metrics.overloads += 1;
      const event = isOverloaded ? "relay.overloaded" : "relay.recovered";
      const text = isOverloaded ? "overloaded: new work is refused" : "new work is taken again";
      logger.warn({ event, lagMs: Math.round(lagMs), memoryShare: Math.round(memoryShare * 100) / 100 }, text);
    },
  });
}
