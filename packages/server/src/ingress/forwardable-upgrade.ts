import type { IncomingMessage } from "node:http";

const NOT_FORWARDED = /^(?:h2c?|http|tls|$)(?:\/|$)/iu;

/**
 * Whether an upgrade can go to the app. HTTP/2 on this connection would be a second front door behind the relay's
 * checks; a request with a body would have its body taken for the new protocol's first bytes; HTTP/1.0 has no upgrade.
 */
export function isForwardableUpgrade(req: IncomingMessage): boolean {
  const { upgrade } = req.headers;
  if (upgrade === undefined || req.httpVersion !== "1.1") return false;
  if (req.headers["transfer-encoding"] !== undefined) return false;
  if (req.headers["content-length"] !== undefined && req.headers["content-length"] !== "0") return false;
  return upgrade.split(",").every((token) => !NOT_FORWARDED.test(token.trim()));
}
