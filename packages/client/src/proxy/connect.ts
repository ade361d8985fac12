import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { GgrokError } from "@ggrok/protocol";
import { refuse } from "./answer.ts";
import type { Credentials } from "./credentials.ts";
import { parseAuthority } from "./destination.ts";
import { beginExchange, type OnProxyExchange } from "./exchange-log.ts";
import type { Exits } from "./exits.ts";
import { toGgrokError } from "./failure.ts";
import { splice } from "./splice.ts";

/** Serves one CONNECT to its end. Nothing is thrown. */
export async function serveConnect(
  request: IncomingMessage,
  socket: Duplex,
  early: Buffer,
  o: { credentials: Credentials; exits: Exits; onExchange?: OnProxyExchange },
): Promise<void> {
  const target = request.url ?? "";
  const report = beginExchange(o.onExchange, { protocol: "connect", method: "CONNECT", target });
  try {
    if (!o.credentials.acceptField(request.headers["proxy-authorization"])) {
      throw new GgrokError("ERR_GGROK_PROXY_UNAUTHORIZED");
    }
    o.exits.refuseCircle(request.headers.via);
    const destination = parseAuthority(target);
    if (destination === undefined) {
      throw new GgrokError("ERR_GGROK_REQUEST_MALFORMED", { message: "CONNECT names a host and a port." });
    }
    const upstream = await o.exits.open(destination);
    // What the client sent without waiting for the answer is the tunnel's first part.
    if (early.length > 0) socket.unshift(early);
    socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
    report({ status: 200, ...(await splice(socket, upstream)) });
  } catch (cause) {
    const error = toGgrokError(cause);
    report({ status: error.status, error: error.code });
    refuse(socket, error, STATUS_CODES[error.status] ?? "Failed");
  }
}
