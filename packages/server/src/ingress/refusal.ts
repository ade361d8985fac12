import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { ErrorCode } from "@ggrok/protocol";
import { parseHost } from "../listener/host.ts";
import type { ExchangeRecord } from "../observability/access-log.ts";
import { type ErrorAnswerOptions, errorAnswerBytes, sendError } from "./error-page.ts";
import { plainAddress } from "./forwarded.ts";
import { linger } from "./linger.ts";
import type { RequestHead } from "./request-head.ts";
import { closeGently } from "./sockets.ts";

/** Why a request goes nowhere, and what its answer says of that. */
export interface Refusal extends ErrorAnswerOptions {
  readonly code: ErrorCode;
}

/**
 * Answers a request that goes nowhere.
 *
 * @param head undefined when it could not be read
 * @returns what the access log says of it
 */
export function refuseRequest(
  req: IncomingMessage,
  res: ServerResponse,
  refusal: Refusal,
  head?: RequestHead,
): ExchangeRecord {
  sendError(req, res, refusal.code, refusal);
  linger(req);
  return recordOf(req, refusal, res.statusCode, head);
}

/** The same for an upgrade or a CONNECT; the connection closes behind the answer. */
export function refuseSocket(
  req: IncomingMessage,
  socket: Duplex,
  refusal: Refusal,
  head?: RequestHead,
): ExchangeRecord {
  const bytes = errorAnswerBytes(refusal.code, req.headers.accept, refusal);
  closeGently(socket, bytes);
  return recordOf(req, refusal, Number(bytes.toString("latin1", 9, 12)), head);
}

function recordOf(
  req: IncomingMessage,
  { code, requestId }: Refusal,
  status: number,
  head: RequestHead | undefined,
): ExchangeRecord {
  return {
    id: requestId,
    host: head?.host ?? parseHost(req.headers.host) ?? "",
    method: req.method ?? "",
    path: head?.target ?? req.url ?? "",
    status,
    code,
    durationMs: 0,
    bytesIn: 0,
    bytesOut: 0,
    client: head?.client ?? plainAddress(req.socket.remoteAddress),
  };
}
