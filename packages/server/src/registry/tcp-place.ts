import { isIpLiteral, parseHost } from "../listener/host.ts";
import type { NameRules, Place, WantedPlace } from "./names.ts";

/**
 * Stands in a place of the registry where HTTP endpoints have their path prefix, and in a look-up where a request has its
 * target. No request can have it: targets begin with a slash or are an asterisk.
 */
export const TCP_PREFIX = ":tcp";

const NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/u;
const SCHEME = /^([a-z][a-z0-9+.-]*):\/\//iu;

/** The place of the TCP tunnel of a host or, in single-host mode, of a name. */
export function tcpPlace(host: string): Place {
  return { host, prefix: TCP_PREFIX };
}

/** True for the place of a TCP tunnel. */
export function isTcpPlace(place: Place): boolean {
  return place.prefix === TCP_PREFIX;
}

/** A wish for a TCP tunnel: its name, and the public port that was asked for. */
export type WantedTcp = WantedPlace & { readonly port?: number };

/**
 * Reads which TCP tunnel an agent asks for: nothing, a bare name, a host, `tcp://HOST`, or `tcp://HOST:PORT` for a public
 * port. The relay's own host stands for "any name".
 *
 * @param dialledHost the host under which the agent reached this relay
 */
export function parseWantedTcp(
  wanted: string | undefined,
  rules: NameRules,
  dialledHost: string | undefined,
): WantedTcp {
  if (wanted === undefined || wanted === "") return { place: "generate" };
  const scheme = SCHEME.exec(wanted);
  const authority = wanted.slice(scheme?.[0].length ?? 0).replace(/\/$/u, "");
  const host = parseHost(authority);
  if (host === undefined || (scheme !== null && scheme[1]?.toLowerCase() !== "tcp"))
    return { refused: `"${wanted}" is no name, host or tcp:// URL` };
  const digits = /:(\d+)$/u.exec(authority)?.[1];
  const port = digits === undefined ? {} : { port: Number(digits) };
  const isOwn =
    host === rules.domain ||
    host === rules.publicHost ||
    host === dialledHost ||
    host === "localhost" ||
    isIpLiteral(host);
  if (isOwn && digits !== undefined) return { place: "generate", ...port };
  if (isOwn) return { refused: `${host} is the relay itself; a TCP tunnel has a name or a port there` };
  const tunnelHost = tcpHostOf(host, rules);
  if (tunnelHost !== undefined) return { place: tcpPlace(tunnelHost), ...port };
  const form = rules.domain === undefined ? "NAME" : `NAME or NAME.${rules.domain}`;
  return { refused: `${host} cannot name a TCP tunnel of this relay: write ${form}, letters, digits and hyphens` };
}

/**
 * The host under which a TCP tunnel is kept, from what a visitor or an agent calls it: a bare name, or in wildcard mode a
 * host below the domain. Undefined when no tunnel of this relay can have that name.
 */
export function tcpHostOf(name: string, rules: NameRules): string | undefined {
  const { domain } = rules;
  if (domain === undefined) return NAME.test(name) ? name : undefined;
  if (NAME.test(name) && name !== domain) return `${name}.${domain}`;
  return name.endsWith(`.${domain}`) && NAME.test(name.slice(0, -domain.length - 1)) ? name : undefined;
}
