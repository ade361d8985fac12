import { isIP } from "node:net";
import { configError } from "./values.ts";

/** Where a relay is reached. The origin is what tokens, names and trust are filed under. */
export interface RelayAddress {
  /** `https://relay.example.com` or `http://localhost:8080`, without a path. */
  readonly origin: string;
  readonly isSecure: boolean;
  /** Host without port and brackets. */
  readonly hostname: string;
  readonly port: number;
}

/** True for names and addresses that never leave this machine. */
export function isLoopbackHost(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, "").toLowerCase();
  if (host === "localhost" || host.endsWith(".localhost") || host === "::1") return true;
  return isIP(host) === 4 && host.startsWith("127.");
}

/**
 * Parses what a user writes for a relay: `host`, `host:port` (both mean https), `https://…`, and `http://…` to loopback
 * only, unless `insecure` says that the token may cross the network in the clear.
 */
export function parseRelayUrl(text: string, options: { insecure?: boolean } = {}): RelayAddress {
  const trimmed = text.trim();
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(trimmed);
  const url = URL.parse(hasScheme ? trimmed : `https://${trimmed}`);
  if (trimmed === "" || url === null || url.hostname === "")
    throw configError(`"${text}" is not a relay: write host, host:port or https://host`);
  const scheme = url.protocol === "wss:" ? "https:" : url.protocol === "ws:" ? "http:" : url.protocol;
  if (scheme !== "https:" && scheme !== "http:")
    throw configError(`a relay is reached by https, not by "${url.protocol}//"`);
  if (url.username !== "" || url.password !== "")
    throw configError("a relay's address carries no user or password: give the token with --authtoken");
  if ((url.pathname !== "/" && url.pathname !== "") || url.search !== "" || url.hash !== "") {
    throw configError(`a relay's address has no path: write ${scheme}//${url.host}`);
  }
  if (scheme === "http:" && options.insecure !== true && !isLoopbackHost(url.hostname)) {
    throw configError(
      `http://${url.host} would send the token and all traffic in the clear: use https://${url.host}, or --insecure if you mean it`,
    );
  }
  const isSecure = scheme === "https:";
  return {
    origin: `${scheme}//${url.host}`,
    isSecure,
    hostname: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? (isSecure ? 443 : 80) : Number(url.port),
  };
}
