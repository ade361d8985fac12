import { isIpLiteral, parseHost } from "../listener/host.ts";
import { ANY_HOST, type NameRules, type Place } from "./names.ts";

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/u;
const PREFIX = /^(?:\/[^/\s?#]+)*$/u;
const MAX_KEY_CHARACTERS = 512;

/**
 * How a place is written in the store. Below a domain a name is one owner's with all its paths and kinds, and the domain
 * may change; in single-host mode owners share the host, so each path prefix is a place of its own.
 */
export function placeKey(place: Place, names: NameRules): string {
  const { host, prefix } = place;
  if (names.domain !== undefined) return nameKey(host, names);
  return prefix.startsWith("/") ? `${host}${prefix}` : host;
}

/** The key of a host below a domain, or outside it. */
function nameKey(host: string, { domain }: NameRules): string {
  return domain !== undefined && host.endsWith(`.${domain}`) ? host.slice(0, -domain.length - 1) : host;
}

/**
 * Keys under which a request for a host and path may be reserved, the longest prefix first.
 *
 * @param maxSegments how many segments of the path are looked at
 */
export function keysOfRequest(host: string, target: string, names: NameRules, maxSegments: number): string[] {
  if (names.domain !== undefined) return [nameKey(host, names)];
  const segments = (target.split("?", 1)[0] ?? "").split("/").slice(1, maxSegments + 1);
  const keys: string[] = [];
  for (let count = segments.length; count >= 0; count -= 1) {
    const prefix = segments
      .slice(0, count)
      .map((segment) => `/${segment}`)
      .join("");
    keys.push(`${ANY_HOST}${prefix}`, `${host}${prefix}`);
  }
  return keys;
}

/**
 * Reads the place an operator names: `app`, `app.DOMAIN`, `hooks.acme.com`, `/alice`, `HOST/alice`, each as a URL too.
 *
 * @returns undefined when it is none of these
 */
export function parsePlaceKey(text: string, names: NameRules): string | undefined {
  const plain = text.trim().replace(/^(?:https?|tcp):\/\//iu, "");
  if (plain.length > MAX_KEY_CHARACTERS) return undefined;
  const slash = plain.indexOf("/");
  const authority = slash < 0 ? plain : plain.slice(0, slash);
  const prefix = slash < 0 ? "" : plain.slice(slash).replace(/\/+$/u, "");
  if (!PREFIX.test(prefix)) return undefined;
  if (authority === "" || authority === ANY_HOST) return plain === "" ? undefined : `${ANY_HOST}${prefix}`;
  const host = parseHost(authority);
  if (host === undefined) return undefined;
  if (names.domain !== undefined && host !== names.domain && !host.includes("."))
    return LABEL.test(host) ? host : undefined;
  if (names.domain !== undefined) {
    const key = nameKey(host, names);
    const isOwn = host === names.domain || host === names.publicHost || isIpLiteral(host);
    return isOwn || (key !== host && !LABEL.test(key)) ? undefined : key;
  }
  const isOwn = host === names.publicHost || host === "localhost" || isIpLiteral(host);
  return `${isOwn ? ANY_HOST : host}${prefix}`;
}
