import { classifyHost, isIpLiteral, isReservedTarget, parseHost } from "../listener/host.ts";
import { isTcpPlace, TCP_PREFIX } from "./tcp-place.ts";

/** Stands for every host that reaches a relay in single-host mode. */
export const ANY_HOST = "*";

const NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/u;
// What a path may hold unescaped (RFC 3986 3.3), and percent triplets.
const PREFIX = /^(?:\/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)*$/u;
const MAX_PREFIX_CHARACTERS = 512;

/** A place in the relay's name space. */
export interface Place {
  /** A host, or {@link ANY_HOST}. */
  readonly host: string;
  /** Path prefix without a slash at its end; empty for the whole host. */
  readonly prefix: string;
}

/** What the relay is called. */
export interface NameRules {
  readonly domain: string | undefined;
  readonly publicHost: string | undefined;
}

/** A place, the wish for a name of the relay's choice, or why there is none (a sentence for the agent's user). */
export type WantedPlace =
  | { place: Place; refused?: undefined }
  | { refused: string; place?: undefined }
  | { place: "generate"; refused?: undefined };

/**
 * Reads what an agent asks for: nothing, a bare name, a host, or a URL, each with a path prefix or without.
 * @param dialledHost the host under which the agent reached this relay; in single-host mode it means every host
 */
export function parseWanted(
  wanted: string | undefined,
  rules: NameRules,
  dialledHost: string | undefined,
): WantedPlace {
  if (wanted === undefined || wanted === "") {
    return rules.domain === undefined ? { place: { host: ANY_HOST, prefix: "" } } : { place: "generate" };
  }
  const split = splitWanted(wanted);
  if (split === undefined) return { refused: `"${wanted}" is no name, host or http(s) URL` };
  const prefix = split.path.replace(/\/+$/u, "");
  if (!isPrefix(prefix)) return { refused: `"${split.path}" cannot be a path prefix` };
  if (rules.domain === undefined) return placeOfSingleHost(split.host, prefix, rules, dialledHost);
  const host = split.host.includes(".") || split.host === rules.domain ? split.host : `${split.host}.${rules.domain}`;
  if (classifyHost(host, rules) === "apex") return { refused: `${host} is the relay itself; names live below it` };
  // Outside the domain a token has to name the host; the registry asks its rights.
  if (!host.endsWith(`.${rules.domain}`)) return { place: { host, prefix } };
  if (!isName(host.slice(0, -rules.domain.length - 1))) {
    return { refused: `${host} is not a name of letters, digits and hyphens directly below ${rules.domain}` };
  }
  return { place: { host, prefix } };
}

function splitWanted(wanted: string): { host: string; path: string } | undefined {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//iu.exec(wanted);
  if (scheme !== null && !/^https?$/iu.test(scheme[1] ?? "")) return undefined;
  const rest = wanted.slice(scheme?.[0].length ?? 0);
  const slash = rest.indexOf("/");
  const host = parseHost(slash < 0 ? rest : rest.slice(0, slash));
  return host === undefined ? undefined : { host, path: slash < 0 ? "" : rest.slice(slash) };
}

function isPrefix(prefix: string): boolean {
  if (prefix.length > MAX_PREFIX_CHARACTERS || !PREFIX.test(prefix) || isReservedTarget(prefix)) return false;
  return prefix.split("/").every((segment) => !/^(?:\.|%2e){1,2}$/iu.test(segment));
}

function placeOfSingleHost(
  host: string,
  prefix: string,
  rules: NameRules,
  dialledHost: string | undefined,
): WantedPlace {
  const isOwn = host === dialledHost || host === rules.publicHost || host === "localhost" || isIpLiteral(host);
  if (isOwn) return { place: { host: ANY_HOST, prefix } };
  if (host.includes(".")) return { place: { host, prefix } };
  const example = `https://${rules.publicHost ?? dialledHost ?? "HOST"}/${host}`;
  return { refused: `this relay has one host and no names below it; ask for a path instead: --url ${example}` };
}

/** True for one DNS label. */
function isName(text: string): boolean {
  return NAME.test(text);
}

/** True when the host could be bound, so that after a start it may belong to an agent that is not back yet. */
export function isBindable(host: string, rules: NameRules): boolean {
  if (rules.domain === undefined) return true;
  return host.endsWith(`.${rules.domain}`) && isName(host.slice(0, -rules.domain.length - 1));
}

/** Every way to say the name of a place, for the globs of tokens. */
export function namesOfPlace(place: Place, rules: NameRules): readonly string[] {
  const { host } = place;
  // Owners of a relay with one host have no names to tell apart; a token that may bind any name may bind any host there.
  if (rules.domain === undefined) return host === ANY_HOST ? [ANY_HOST] : [ANY_HOST, host];
  return host.endsWith(`.${rules.domain}`) ? [host.slice(0, -rules.domain.length - 1), host] : [host];
}

/** Scheme and authority under which somebody reached the relay. */
export interface RelayOrigin {
  readonly scheme: "http" | "https";
  /** Host with port, as in the Host field. */
  readonly authority: string;
}

/** The public URL of a place, without a slash at its end. */
export function urlOfPlace(place: Place, origin: RelayOrigin): string {
  if (isTcpPlace(place)) return `tcp://${place.host}`;
  if (place.host === ANY_HOST) return `${origin.scheme}://${origin.authority}${place.prefix}`;
  const port = /:\d+$/u.exec(origin.authority)?.[0] ?? "";
  return `${origin.scheme}://${place.host}${port}${place.prefix}`;
}

/** True when the target lies under the prefix, at a segment's boundary. */
export function isUnderPrefix(target: string, prefix: string): boolean {
  if (prefix === "" || target === TCP_PREFIX) return target !== TCP_PREFIX || prefix === TCP_PREFIX;
  if (!target.startsWith(prefix)) return false;
  const next = target[prefix.length];
  return next === undefined || next === "/" || next === "?";
}
