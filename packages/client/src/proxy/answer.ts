import type { ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { GgrokError } from "@ggrok/protocol";
import { PROXY_LIMITS } from "./limits.ts";

/** Fields and text of an answer the proxy gives itself. */
function compose(error: GgrokError): { fields: string[]; body: string } {
  const body = `${error.message}\n${error.nextStep}\n`;
  const fields = [
    "content-type",
    "text/plain; charset=utf-8",
    "content-length",
    String(Buffer.byteLength(body)),
    "cache-control",
    "no-store",
    "ggrok-error",
    error.code,
    "connection",
    "close",
  ];
  if (error.status === 407) fields.push("proxy-authenticate", 'Basic realm="ggrok proxy", charset="UTF-8"');
  return { fields, body };
}

/** Answers a request with a failure and lets the connection end after it. */
export function answerFailure(response: ServerResponse, error: GgrokError): void {
  const { fields, body } = compose(error);
  response.writeHead(error.status, fields);
  response.end(body);
}

/** Answers on a connection that has no response of Node's: CONNECT, and what could not be read as a request. */
export function refuse(socket: Duplex, error: GgrokError, reason: string): void {
  const { fields, body } = compose(error);
  const lines = [`HTTP/1.1 ${error.status} ${reason}`];
  for (let i = 0; i + 1 < fields.length; i += 2) lines.push(`${fields[i]}: ${fields[i + 1]}`);
  endGently(socket, `${lines.join("\r\n")}\r\n\r\n${body}`);
}

/** Writes what is left to say and closes once the other side has read it: unread bytes of theirs would make it a reset. */
export function endGently(socket: Duplex, last?: Buffer | string): void {
  if (socket.destroyed) return;
  const timer = setTimeout(() => socket.destroy(), PROXY_LIMITS.CLOSE_LINGER_MS);
  socket.once("close", () => clearTimeout(timer));
  if (last === undefined) socket.end();
  else socket.end(last);
  socket.resume();
}
