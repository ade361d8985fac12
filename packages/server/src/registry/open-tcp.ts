import { type ErrorCode, GgrokError, type MuxStream } from "@ggrok/protocol";
import { RELAY_LIMITS } from "../limits.ts";
import type { ParkResult } from "./route.ts";
import type { TcpRoute } from "./tcp-route.ts";

/** What opening for one visitor needs. */
export interface OpenTcpOptions {
  /** Tries once; undefined when no session can take it. */
  tryOpen(): MuxStream | undefined;
  /** What waits in memory meanwhile. */
  readonly heldBytes: number;
  readonly parkMs: number;
  /** The relay goes down: nothing waits. */
  readonly isDraining: boolean;
  readonly signal: AbortSignal;
}

const CODE_OF_PARKING: Readonly<Record<Exclude<ParkResult, "ready" | "aborted">, ErrorCode>> = {
  offline: "ERR_GGROK_ENDPOINT_OFFLINE",
  full: "ERR_GGROK_RELAY_OVERLOADED",
};

/** Opens a stream to a TCP tunnel, waiting for its agent as long as a request would. Undefined when it opened or nobody waits. */
export async function openTcp(route: TcpRoute, o: OpenTcpOptions): Promise<ErrorCode | undefined> {
  try {
    if (o.tryOpen() !== undefined) return undefined;
    if (o.isDraining) return "ERR_GGROK_RELAY_DRAINING";
    const deadline = performance.now() + o.parkMs;
    // "Ready" is a hint: another visitor may have taken the place meanwhile.
    for (let round = 0; round < RELAY_LIMITS.maxAttempts; round += 1) {
      const result = await route.park(o.heldBytes, o.signal);
      if (o.signal.aborted || result === "aborted") return undefined;
      if (result !== "ready") return CODE_OF_PARKING[result];
      if (o.tryOpen() !== undefined) return undefined;
      if (performance.now() > deadline) break;
    }
    return "ERR_GGROK_RELAY_OVERLOADED";
  } catch (error) {
    return error instanceof GgrokError ? error.code : "ERR_GGROK_INTERNAL";
  }
}
