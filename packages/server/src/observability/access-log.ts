import type { ErrorCode } from "@ggrok/protocol";
import { escapeControls } from "./escape.ts";
import { type Logger, logEvent } from "./logger.ts";

/** One finished exchange, as the access log tells it. */
export interface ExchangeRecord {
  /** The request id, as in `x-request-id`. */
  id: string;
  host: string;
  method: string;
  /** The request target; its query is not logged, since tokens travel there. */
  path: string;
  /** Status the visitor got; 0 when the visitor left before there was one. */
  status: number;
  /** Why the relay answered itself, or broke the transfer off. */
  code?: ErrorCode;
  durationMs: number;
  /** When the head of the app's answer came, from the same beginning. */
  firstByteMs?: number;
  /** Body bytes from the visitor. */
  bytesIn: number;
  /** Body bytes to the visitor. */
  bytesOut: number;
  /** The visitor's address. */
  client: string;
  /** URL of the endpoint, when there was one. */
  tunnel?: string;
}

/** Writes the `exchange` event. Control characters are escaped and the query is left out: one request, one line, no secret. */
export function logExchange(logger: Logger, record: ExchangeRecord): void {
  if (!logger.isLevelEnabled("info")) return;
  const query = record.path.indexOf("?");
  const path = query < 0 ? record.path : record.path.slice(0, query);
  const fields = {
    ...record,
    host: escapeControls(record.host),
    method: escapeControls(record.method),
    path: escapeControls(path),
    client: escapeControls(record.client),
    durationMs: round(record.durationMs),
    ...(record.firstByteMs !== undefined && { firstByteMs: round(record.firstByteMs) }),
  };
  logEvent(logger, "exchange", fields, `${fields.method} ${fields.host}${fields.path} ${String(fields.status)}`);
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
