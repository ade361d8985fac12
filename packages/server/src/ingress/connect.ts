import type { IncomingMessage } from "node:http";
import type { ErrorCode } from "@ggrok/protocol";
import type { Authenticator } from "../auth/authenticator.ts";
import { rightsOfConnect } from "../auth/connect-rights.ts";
import type { Principal } from "../auth/principal.ts";
import { parseHost } from "../listener/host.ts";
import type { TcpRoute, TcpRouter } from "../registry/tcp-route.ts";

/** A CONNECT that may go on to a tunnel, or the code of its refusal. */
export type ConnectDecision =
  | {
      readonly route: TcpRoute;
      readonly host: string;
      /** Whose token was shown. */
      readonly principal: Principal | undefined;
      readonly refused?: undefined;
    }
  | { readonly refused: ErrorCode; readonly host?: string; readonly detail?: string; readonly route?: undefined };

/** Answers a CONNECT whose app has taken the connection. */
export const CONNECTED = Buffer.from("HTTP/1.1 200 Connection Established\r\n\r\n", "latin1");

const AUTHORITY = /^[^/?#@\s]+:\d{1,5}$/u;

/**
 * Decides about a CONNECT. It reaches TCP tunnels of this relay and nothing else: no address is resolved and nothing is
 * dialled. One field, `Proxy-Authorization`, says who asks; a private tunnel is for holders of the scope `connect`.
 *
 * @param client the visitor's address behind trusted front ends
 */
export function decideConnect(
  req: IncomingMessage,
  client: string,
  deps: { readonly router: TcpRouter; readonly authenticator: Authenticator },
): ConnectDecision {
  const authority = req.url ?? "";
  if (!isWellFormed(req, authority)) return { refused: "ERR_GGROK_REQUEST_MALFORMED" };
  const host = parseHost(authority);
  if (host === undefined) return { refused: "ERR_GGROK_REQUEST_MALFORMED" };
  const { rights, refused } = rightsOfConnect(deps.authenticator, {
    rawHeaders: req.rawHeaders,
    remoteAddress: req.socket.remoteAddress,
  });
  if (refused !== undefined) return { refused: "ERR_GGROK_CONNECT_UNAUTHORIZED", host, detail: refused };
  const route = deps.router.findTcp(host);
  if (route === undefined) return { refused: "ERR_GGROK_CONNECT_REFUSED", host };
  if (!route.isPublic && !rights.mayConnect(route.names)) return { refused: "ERR_GGROK_CONNECT_UNAUTHORIZED", host };
  if (!route.allows(client)) return { refused: "ERR_GGROK_VISITOR_FORBIDDEN", host };
  return { route, host, principal: rights.principal };
}

/** RFC 9112 3.2.3 and 9110 9.3.6: authority-form with a port, no body, at most one Host. HTTP/1.0 needs no Host. */
function isWellFormed(req: IncomingMessage, authority: string): boolean {
  if (!AUTHORITY.test(authority)) return false;
  const { rawHeaders } = req;
  let hosts = 0;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]?.toLowerCase();
    if (name === "host") {
      hosts += 1;
      if (hosts > 1 || parseHost(rawHeaders[i + 1]?.trim()) === undefined) return false;
    }
    if (name === "transfer-encoding" || (name === "content-length" && rawHeaders[i + 1]?.trim() !== "0")) return false;
  }
  return true;
}
