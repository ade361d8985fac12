import type { Socket } from "node:net";
import { ERRORS, type ErrorCode, GgrokError } from "@ggrok/protocol";
import { type Parsed, readMessage } from "../proxy/read-message.ts";

/** Bytes of an answer's head; no relay needs more. */
const ANSWER_BYTES = 32_768;

/** Something between here and the relay does not pass CONNECT on. */
export class NotPassed extends Error {}

/**
 * Asks the relay for a TCP tunnel by CONNECT. Bytes that came with the answer's head stay in the socket. A refusal of the
 * relay is a GgrokError with its code; what the relay did not say itself is {@link NotPassed}.
 */
export async function askRelay(
  socket: Socket,
  o: { name: string; authority: string; token: string | undefined; userAgent: string },
  signal: AbortSignal,
): Promise<void> {
  const lines = [
    `CONNECT ${o.name}:1 HTTP/1.1`,
    `Host: ${o.authority}`,
    `User-Agent: ${o.userAgent}`,
    ...(o.token === undefined ? [] : [`Proxy-Authorization: Bearer ${o.token}`]),
  ];
  socket.write(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
  let head: string;
  try {
    ({ head } = await readMessage(socket, parseHead, ANSWER_BYTES, signal));
  } catch (cause) {
    signal.throwIfAborted();
    throw new NotPassed(`no answer to CONNECT: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  const [statusLine = "", ...fields] = head.split("\r\n");
  const status = Number(/^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(statusLine)?.[1]);
  if (status >= 200 && status < 300) return;
  const code = fields.flatMap((field) => /^ggrok-error:[ \t]*(\S+)[ \t]*$/i.exec(field)?.[1] ?? [])[0];
  if (code !== undefined && isErrorCode(code)) throw new GgrokError(code);
  throw new NotPassed(`CONNECT was answered with "${statusLine.slice(0, 100)}"`);
}

function parseHead(bytes: Buffer): Parsed<{ head: string }> {
  const end = bytes.indexOf("\r\n\r\n");
  return end < 0 ? undefined : { head: bytes.toString("latin1", 0, end), length: end + 4 };
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}
