import { isIP } from "node:net";
import { configError, resolveSecret } from "../config/values.ts";

/** Another proxy, on the way to somewhere. */
export interface ProxyAddress {
  readonly scheme: "http" | "https" | "socks5";
  readonly hostname: string;
  readonly port: number;
  readonly username?: string;
  readonly password?: string;
  /** For people and logs: without user and password. */
  readonly label: string;
}

const SCHEMES: Readonly<Record<string, { scheme: ProxyAddress["scheme"]; port: number }>> = {
  "http:": { scheme: "http", port: 80 },
  "https:": { scheme: "https", port: 443 },
  "socks:": { scheme: "socks5", port: 1080 },
  "socks5:": { scheme: "socks5", port: 1080 },
  "socks5h:": { scheme: "socks5", port: 1080 },
};

/**
 * Parses `http://`, `https://` and `socks5://[user:password@]host[:port]`; `host:port` alone means http, as everywhere.
 * Throws CONFIG_INVALID without the password in it.
 */
export function parseProxyUrl(text: string): ProxyAddress {
  const trimmed = text.trim();
  const shown = trimmed.replace(/^.*@/s, "…@");
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(trimmed) ? trimmed : `http://${trimmed}`);
  const known = SCHEMES[url?.protocol ?? ""];
  // URL takes a host of another scheme as it stands; of http it checks it.
  const parsed = url === null ? null : URL.parse(`http://${url.host}`);
  if (url === null || known === undefined || parsed === null || parsed.hostname === "") {
    throw configError(`the proxy "${shown}" is not an http://, https:// or socks5:// URL`);
  }
  if (!/^\/?$/.test(url.pathname) || url.search !== "" || url.hash !== "") {
    throw configError(`the proxy "${shown}" has a path: write ${url.protocol}//${url.host}`);
  }
  const username = decode(url.username, shown);
  const password = decode(url.password, shown);
  if (known.scheme === "socks5" && (Buffer.byteLength(username) > 255 || Buffer.byteLength(password) > 255)) {
    throw configError(`the proxy "${shown}": SOCKS5 carries users and passwords of 255 bytes at most`);
  }
  const hostname = parsed.hostname.replace(/^\[|\]$/g, "");
  // Parsed as http, port 80 of another scheme would look like none.
  const digits = /:(\d+)$/.exec(url.host)?.[1];
  const port = digits === undefined ? known.port : Number(digits);
  if (port === 0) throw configError(`the proxy "${shown}": 0 is not a port`);
  const host = isIP(hostname) === 6 ? `[${hostname}]` : hostname;
  return {
    scheme: known.scheme,
    hostname,
    port,
    ...((username !== "" || password !== "") && { username, password }),
    label: `${known.scheme}://${host}:${port}`,
  };
}

/** The same for an address that may carry a password and so may be given as `env:NAME` or `file:PATH`. */
export function parseSecretProxy(text: string, env: NodeJS.ProcessEnv): ProxyAddress {
  return parseProxyUrl(/^(env|file):/.test(text) ? resolveSecret(text, env) : text);
}

function decode(text: string, shown: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw configError(`the proxy "${shown}": user and password are percent-encoded`, cause);
  }
}
