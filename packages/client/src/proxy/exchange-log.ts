import type { ErrorCode } from "@ggrok/protocol";

/** One finished exchange, or one tunnel of bytes. */
export interface ProxyExchange {
  readonly protocol: "http" | "connect" | "socks5";
  readonly method: string;
  /** URL without its query, or host and port. */
  readonly target: string;
  /** Missing where there was no HTTP answer. */
  readonly status?: number;
  readonly error?: ErrorCode;
  readonly durationMs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** Hears of every exchange at its end. */
export type OnProxyExchange = (exchange: ProxyExchange) => void;

/** Starts the clock of an exchange; the function it returns reports it once. */
export function beginExchange(
  on: OnProxyExchange | undefined,
  what: Pick<ProxyExchange, "protocol" | "method" | "target">,
): (outcome: Pick<ProxyExchange, "status" | "error"> & { bytesIn?: number; bytesOut?: number }) => void {
  const startedAt = performance.now();
  let isReported = false;
  return ({ bytesIn = 0, bytesOut = 0, ...outcome }) => {
    if (isReported) return;
    isReported = true;
    on?.({ ...what, ...outcome, durationMs: performance.now() - startedAt, bytesIn, bytesOut });
  };
}
