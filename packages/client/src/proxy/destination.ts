import type { LookupAddress } from "node:dns";
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { kindOfError, systemCode, WayError } from "./failure.ts";
import { isPublicAddress } from "./guard.ts";

/** Where a client wants to go. */
export interface Destination {
  /** Name or address, an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
}

/** Finds the addresses of a name. */
export type Resolve = (hostname: string) => Promise<readonly LookupAddress[]>;

const LOOPBACK: readonly LookupAddress[] = [
  { address: "127.0.0.1", family: 4 },
  { address: "::1", family: 6 },
];

/** The system's resolver; `*.localhost` is this machine by RFC 6761, also where the resolver does not know it. */
export const resolveBySystem: Resolve = async (hostname) => {
  const name = hostname.toLowerCase().replace(/\.$/, "");
  if (name === "localhost" || name.endsWith(".localhost")) return LOOPBACK;
  return await lookup(hostname, { all: true });
};

/** Parses `host:port` of CONNECT or of an absolute URL; undefined when it is neither. */
export function parseAuthority(text: string, defaultPort?: number): Destination | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([^\s:/?#@[\]\\<>"'`]{1,255}))(?::(\d{1,5}))?$/.exec(text);
  if (match === null) return undefined;
  const [, literal, name, digits] = match;
  if (literal !== undefined && isIP(literal) !== 6) return undefined;
  const host = literal ?? name ?? "";
  const port = digits === undefined ? defaultPort : Number(digits);
  if (port === undefined || port < 1 || port > 65_535 || !isHostName(host)) return undefined;
  return { host, port };
}

/** A name a resolver may be asked for: visible ASCII without what could change the meaning of a line. */
export function isHostName(host: string): boolean {
  return host.length <= 255 && (isIP(host) !== 0 || /^[A-Za-z0-9_.-]+$/.test(host));
}

/** `host:port` as CONNECT and Host write it. */
export function formatAuthority({ host, port }: Destination): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * The addresses to connect to. The name is resolved once, and only what was checked here is ever connected to: a name
 * that changes its mind in between gains nothing.
 */
export async function findAddresses(
  host: string,
  o: { resolve: Resolve; isPublicOnly: boolean; hop: "proxy" | "destination" },
): Promise<readonly LookupAddress[]> {
  const family = isIP(host);
  const found = family === 0 ? await resolveName(host, o) : [{ address: host, family }];
  const allowed = o.isPublicOnly ? found.filter(({ address }) => isPublicAddress(address)) : found;
  if (allowed.length === 0) {
    throw new WayError(
      o.hop,
      "forbidden",
      `${host} is a private or local address, which this proxy does not connect to`,
    );
  }
  return allowed;
}

async function resolveName(
  host: string,
  o: { resolve: Resolve; hop: "proxy" | "destination" },
): Promise<readonly LookupAddress[]> {
  let found: readonly LookupAddress[];
  try {
    found = await o.resolve(host);
  } catch (cause) {
    const kind = kindOfError(cause, "name-unknown");
    throw new WayError(o.hop, kind, `the name ${host} does not resolve (${systemCode(cause) || "no answer"})`, {
      cause,
    });
  }
  if (found.length === 0) throw new WayError(o.hop, "name-unknown", `the name ${host} has no address`);
  return found;
}
