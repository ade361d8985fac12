import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";

/**
 * Decides whether a request to the local API may be answered. Any web page can make a browser call 127.0.0.1, by its
 * address (then `Origin` or `Sec-Fetch-Site` give it away) or by a name of its own that resolves to it (then `Host`
 * does). An IP literal cannot be rebound, so those are fine.
 *
 * @param ownHost the host of `--web-addr`, which the user vouches for
 */
export function isTrustedRequest(headers: IncomingMessage["headers"], ownHost: string): boolean {
  const hostname = parseHostname(headers.host);
  if (hostname === undefined) return false;
  if (!isLocalName(hostname) && hostname !== ownHost.toLowerCase()) return false;
  const { origin } = headers;
  if (origin !== undefined && origin.toLowerCase() !== `http://${headers.host?.toLowerCase() ?? ""}`) return false;
  const site = headers["sec-fetch-site"];
  return site === undefined || site === "same-origin" || site === "none";
}

function isLocalName(hostname: string): boolean {
  return hostname === "localhost" || isIP(hostname) !== 0;
}

function parseHostname(host: string | undefined): string | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::\d{1,5})?$/.exec(host ?? "");
  return (match?.[1] ?? match?.[2])?.toLowerCase();
}
