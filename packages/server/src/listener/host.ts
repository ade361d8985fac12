import { isIP, isIPv6 } from "node:net";
import { RELAY_LIMITS } from "../limits.ts";

/** Path under which the relay itself answers, on its own hosts only. */
export const RESERVED_PREFIX = "/$$ggrok";

/** Where a Host leads: to the relay itself, to an endpoint, or nowhere. */
export type HostKind = "apex" | "endpoint" | "invalid";

const LABEL = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/u;
const IPV6_LITERAL = /^\[[0-9a-f:.]+\]$/u;
const PORT = /^[0-9]{1,5}$/u;

/**
 * The host of a Host field or authority: lower case, without port and trailing dot, an IPv6 literal in its brackets.
 * Undefined for everything that is not exactly one host (RFC 9112 3.2, RFC 3986 3.2.2).
 */
export function parseHost(value: string | undefined): string | undefined {
  if (value === undefined || value.length === 0 || value.length > 260) return undefined;
  const known = lately.get(value);
  if (known !== undefined) return known;
  const host = readHost(value);
  if (host === undefined) return undefined;
  // All at once: what is asked for often is back with its next request.
  if (lately.size >= RELAY_LIMITS.hostsRemembered) lately.clear();
  lately.set(value, host);
  return host;
}

/** Hosts as they were written, and read: a relay's visitors name the same few again and again. */
const lately = new Map<string, string>();

function readHost(value: string): string | undefined {
  const text = value.toLowerCase();
  const bracket = text.startsWith("[") ? text.indexOf("]") : -1;
  const colon = text.indexOf(":", bracket + 1);
  if (colon >= 0 && !isPort(text.slice(colon + 1))) return undefined;
  const host = colon < 0 ? text : text.slice(0, colon);
  // A zone index says which interface of the sender's machine it means: nothing to anybody else.
  if (bracket >= 0) return IPV6_LITERAL.test(host) && isIPv6(host.slice(1, -1)) ? host : undefined;
  const name = host.endsWith(".") ? host.slice(0, -1) : host;
  if (name.length === 0 || name.length > 253) return undefined;
  return name.split(".").every((label) => LABEL.test(label)) ? name : undefined;
}

function isPort(text: string): boolean {
  return text === "" || (PORT.test(text) && Number(text) <= 65_535);
}

/** The host a request names, from its raw fields; undefined when there is none, more than one, or it is malformed. */
export function hostOfRequest(rawHeaders: readonly string[]): string | undefined {
  let value: string | undefined;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i];
    if (name === undefined || name.length !== 4 || name.toLowerCase() !== "host") continue;
    if (value !== undefined) return undefined;
    value = rawHeaders[i + 1];
  }
  return parseHost(value?.trim());
}

/** True for an address literal, bracketed or not. */
export function isIpLiteral(host: string): boolean {
  return host.startsWith("[") || isIP(host) !== 0;
}

/** What decides which hosts are the relay's own. */
export interface HostRules {
  /** Wildcard mode when set. */
  domain: string | undefined;
  /** Host of the public URL, when one is configured. */
  publicHost: string | undefined;
}

/** Sorts a parsed host. In single-host mode every host is both: the reserved prefix is the relay's, the rest the app's. */
export function classifyHost(host: string | undefined, rules: HostRules): HostKind {
  if (host === undefined) return "invalid";
  if (rules.domain === undefined) return "apex";
  if (host === rules.domain || host === rules.publicHost || host === "localhost" || isIpLiteral(host)) return "apex";
  return "endpoint";
}

/** True when the target lies under the reserved prefix, compared byte for byte. */
export function isReservedTarget(target: string): boolean {
  if (!target.startsWith(RESERVED_PREFIX)) return false;
  const next = target[RESERVED_PREFIX.length];
  return next === undefined || next === "/" || next === "?";
}
