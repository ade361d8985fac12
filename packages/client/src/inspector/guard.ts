import { timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { BlockList, isIP } from "node:net";
import type { ErrorCode } from "@ggrok/protocol";

/** Field that carries the token of a run. */
export const TOKEN_FIELD = "x-ggrok-token";
/** Cookie that carries it where the page is not on loopback: an EventSource sends no fields of ours. */
export const TOKEN_COOKIE = "ggrok_token";

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

type Headers = IncomingMessage["headers"];

/** What the guard has to know. */
export interface GuardOptions {
  /** The host of `--web-addr`, which the user vouches for. */
  readonly ownHost: string;
  /** Known to the page, and to programs that may read the agent's state file. */
  readonly token: string;
}

/**
 * Decides whether a request to the local API may be answered. Any web page can make a browser call 127.0.0.1, by its
 * address (then `Origin` or `Sec-Fetch-Site` give it away) or by a name of its own that resolves to it (then `Host`
 * does). An IP literal cannot be rebound, so those are fine.
 *
 * @param ownHost the host of `--web-addr`, which the user vouches for
 */
export function isTrustedRequest(headers: Headers, ownHost: string): boolean {
  const hostname = parseHostname(headers.host);
  if (hostname === undefined) return false;
  if (!isLocalName(hostname) && hostname !== ownHost.toLowerCase()) return false;
  const { origin } = headers;
  if (origin !== undefined && origin.toLowerCase() !== `http://${headers.host?.toLowerCase() ?? ""}`) return false;
  const site = headers["sec-fetch-site"];
  return site === undefined || site === "same-origin" || site === "none";
}

/** Whether only this machine can reach an address to listen on. */
export function isLoopbackHost(host: string): boolean {
  if (host.toLowerCase() === "localhost") return true;
  const family = isIP(host);
  return family !== 0 && LOOPBACK.check(host, family === 4 ? "ipv4" : "ipv6");
}

/**
 * Judges one request beyond where it comes from: what changes something and comes from a browser carries JSON and the token,
 * which another site can neither send unasked nor know; where other machines can reach the API, reading takes the token too.
 *
 * @param isOpen the path may be read by everyone who gets here
 * @returns the code of the refusal
 */
export function judgeRequest(
  request: Pick<IncomingMessage, "method" | "headers">,
  o: GuardOptions,
  isOpen = false,
): ErrorCode | undefined {
  const { headers, method } = request;
  if (!isTrustedRequest(headers, o.ownHost)) return "ERR_GGROK_API_FORBIDDEN";
  const isLocal = isLoopbackHost(o.ownHost);
  const hasField = isToken(headers[TOKEN_FIELD], o.token);
  if (method === "GET" || method === "HEAD") {
    if (isLocal || isOpen || hasField || isToken(readCookie(headers.cookie), o.token)) return undefined;
    return "ERR_GGROK_API_TOKEN_REQUIRED";
  }
  const isBrowser = headers.origin !== undefined || headers["sec-fetch-site"] !== undefined;
  if (!isBrowser && isLocal) return undefined;
  if (!hasField) return "ERR_GGROK_API_TOKEN_REQUIRED";
  return isBrowser && !isJson(headers["content-type"]) ? "ERR_GGROK_API_FORBIDDEN" : undefined;
}

/** Compares in constant time. */
export function isToken(given: string | string[] | undefined, token: string): boolean {
  if (typeof given !== "string") return false;
  const [a, b] = [Buffer.from(given), Buffer.from(token)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function isJson(type: string | undefined): boolean {
  return /^\s*application\/json\s*(?:;|$)/i.test(type ?? "");
}

function readCookie(cookies: string | undefined): string | undefined {
  for (const pair of (cookies ?? "").split(";")) {
    const at = pair.indexOf("=");
    if (pair.slice(0, at).trim() === TOKEN_COOKIE) return pair.slice(at + 1).trim();
  }
  return undefined;
}

function isLocalName(hostname: string): boolean {
  return hostname === "localhost" || isIP(hostname) !== 0;
}

function parseHostname(host: string | undefined): string | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::\d{1,5})?$/.exec(host ?? "");
  return (match?.[1] ?? match?.[2])?.toLowerCase();
}
