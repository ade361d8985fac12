import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { ERRORS, type ErrorCode } from "@ggrok/protocol";
import { errorAnswerBytes } from "./error-page.ts";
import { closeGently, isDead } from "./sockets.ts";

/** What a parser error means, and whether there is anybody left to tell. */
export interface ClientErrorAnswer {
  readonly code: ErrorCode;
  readonly detail?: string;
}

/** @returns undefined when the connection itself failed */
export function answerOfClientError(error: NodeJS.ErrnoException): ClientErrorAnswer | undefined {
  switch (error.code) {
    case "HPE_HEADER_OVERFLOW":
      return { code: "ERR_GGROK_REQUEST_HEADERS_TOO_LARGE" };
    case "HPE_CHUNK_EXTENSIONS_OVERFLOW":
      return { code: "ERR_GGROK_REQUEST_BODY_TOO_LARGE", detail: "The chunk extensions are too long." };
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return { code: "ERR_GGROK_REQUEST_TIMEOUT" };
    default:
      return error.code?.startsWith("HPE_") === true ? { code: "ERR_GGROK_REQUEST_MALFORMED" } : undefined;
  }
}

/** An answer to what was no request yet. */
export interface AnsweredError {
  readonly code: ErrorCode;
  readonly requestId: string;
  readonly status: number;
}

/**
 * Answers what Node's parser refused, when the connection is at a point where an answer can be understood.
 *
 * @returns what was answered, unless it stands for a request that is known and tells its own end
 */
export function handleClientError(
  error: NodeJS.ErrnoException,
  socket: Duplex,
  newRequestId: () => string,
): AnsweredError | undefined {
  // What follows a refused head is garbage too.
  if (isDead(socket)) return undefined;
  const answer = answerOfClientError(error);
  const current = currentAnswer(socket);
  if (answer === undefined || !socket.writable || isInsideAnswer(current)) {
    socket.destroy();
    return undefined;
  }
  const { code, ...options } = answer;
  const requestId = newRequestId();
  closeGently(socket, errorAnswerBytes(code, undefined, { requestId, ...options }));
  return current === undefined ? { code, requestId, status: ERRORS[code].status } : undefined;
}

function currentAnswer(socket: Duplex): ServerResponse | undefined {
  return (socket as Socket & { _httpMessage?: ServerResponse | null })._httpMessage ?? undefined;
}

/**
 * True when bytes of the relay's own would stand in another request's answer. An answer that has not begun may be
 * replaced when it is its own request that broke; garbage pipelined behind a good request must not answer that one.
 */
function isInsideAnswer(current: ServerResponse | undefined): boolean {
  if (current === undefined) return false;
  return current.headersSent || current.req.complete;
}
