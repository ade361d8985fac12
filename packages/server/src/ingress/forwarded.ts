import { BlockList, isIP, isIPv4, isIPv6 } from "node:net";
import { parseHost } from "../listener/host.ts";
import { elementsFromRight, type ForwardedElement } from "./forwarded-elements.ts";

const MAX_CACHED = 1_024;

/** The front ends whose `X-Forwarded-*` fields are believed. */
export class TrustedPeers {
  readonly #list = new BlockList();
  readonly #isEmpty: boolean;
  // A BlockList look-up crosses into C++; the few front ends in use ask for the same addresses all day.
  readonly #known = new Map<string, boolean>();

  /** @param ranges CIDRs or single addresses, checked before */
  constructor(ranges: readonly string[]) {
    for (const range of ranges) this.#add(range);
    this.#isEmpty = ranges.length === 0;
  }

  /** @param address as {@link plainAddress} gives it */
  isTrusted(address: string): boolean {
    if (this.#isEmpty) return false;
    const known = this.#known.get(address);
    if (known !== undefined) return known;
    const version = isIP(address);
    const isTrusted = version !== 0 && this.#list.check(address, version === 4 ? "ipv4" : "ipv6");
    if (this.#known.size >= MAX_CACHED) this.#known.clear();
    this.#known.set(address, isTrusted);
    return isTrusted;
  }

  #add(range: string): void {
    const slash = range.indexOf("/");
    const net = slash < 0 ? range : range.slice(0, slash);
    const family = isIPv6(net) ? "ipv6" : "ipv4";
    if (slash < 0) this.#list.addAddress(net, family);
    else this.#list.addSubnet(net, Number(range.slice(slash + 1)), family);
  }
}

/** An address as people write it: IPv4 mapped into IPv6 becomes IPv4, a zone index goes. */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return "unknown";
  if (address.startsWith("::ffff:") && isIPv4(address.slice(7))) return address.slice(7);
  const zone = address.indexOf("%");
  return zone < 0 ? address : address.slice(0, zone);
}

/** What a trusted front end said; empty for a visitor who came directly. */
export interface ForwardedClaims {
  /** Values of `X-Forwarded-For`, joined by commas in the order they came. */
  readonly for: string | undefined;
  readonly proto: string | undefined;
  readonly host: string | undefined;
  readonly port: string | undefined;
  /** Values of `Forwarded`, joined by commas. */
  readonly forwarded: string | undefined;
}

/** The fields the relay vouches for, and the visitor's address behind all trusted front ends. */
export interface ForwardedFields {
  readonly client: string;
  readonly for: string;
  readonly proto: string;
  readonly host: string;
  readonly port: string;
  readonly forwarded: string;
}

const PORT = /^[0-9]{1,5}$/u;

/**
 * Makes the forwarding fields of one request. The chain is extended when the peer is trusted, else it starts here.
 *
 * @param peer address of the connection's other end, from {@link plainAddress}
 * @param host value of the Host field
 * @param claims undefined when the peer is not trusted
 */
export function forwardedFields(
  peer: string,
  host: string,
  isEncrypted: boolean,
  claims: ForwardedClaims | undefined,
  trusted: TrustedPeers,
): ForwardedFields {
  const own = isEncrypted ? "https" : "http";
  const said = claims === undefined ? NOTHING_SAID : believe(claims, peer, trusted);
  const { hops } = said;
  const claimed = (claims?.proto ?? said.proto)?.toLowerCase();
  const proto = claimed === "https" || claimed === "http" ? claimed : own;
  const outerHost = claims?.host ?? said.host ?? host;
  const port = claims?.port !== undefined && PORT.test(claims.port) ? claims.port : portOf(outerHost, proto);
  const element = `for=${forwardedNode(peer)};host=${quoteIfNeeded(host)};proto=${proto}`;
  return {
    client: addressOf(hops[0] ?? "") ?? peer,
    for: hops.length === 0 ? peer : `${hops.join(", ")}, ${peer}`,
    proto,
    host: outerHost,
    port,
    forwarded: said === NOTHING_SAID ? element : [...said.elements, element].join(", "),
  };
}

/** The lists that name addresses. */
type Chains = Pick<ForwardedClaims, "for" | "forwarded">;

/** The visitor's address: the first of the chain, from its near end, that is no trusted front end. */
export function clientOf(chains: Chains, peer: string, trusted: TrustedPeers): string {
  return addressOf(believe(chains, peer, trusted).hops[0] ?? "") ?? peer;
}

/** The scheme the visitor used, as far as trusted front ends write it into `Forwarded`. */
export function schemeOf(forwarded: string, peer: string, trusted: TrustedPeers): string | undefined {
  return believe({ for: undefined, forwarded }, peer, trusted).proto?.toLowerCase();
}

/** What can be believed of the lists. */
interface Believed {
  /** The visitor and the front ends behind it. */
  readonly hops: readonly string[];
  /** The same as elements of `Forwarded`. */
  readonly elements: readonly string[];
  readonly proto?: string | undefined;
  readonly host?: string | undefined;
}

const NOTHING_SAID: Believed = { hops: [], elements: [] };

/** Front ends that write one of the two lists pass the other on as the visitor wrote it; the usual one is `X-Forwarded-For`. */
function believe(chains: Chains, peer: string, trusted: TrustedPeers): Believed {
  if (chains.for !== undefined) {
    const hops = believedHops(chains.for, peer, trusted);
    return { hops, elements: hops.map((hop) => `for=${hopNode(hop)}`) };
  }
  return chains.forwarded === undefined ? NOTHING_SAID : believedElements(chains.forwarded, peer, trusted);
}

/** The rule of {@link believedHops} for the elements of `Forwarded`. The outermost front end knows best what the visitor used. */
function believedElements(list: string, peer: string, trusted: TrustedPeers): Believed {
  const elements: string[] = [];
  const hops: string[] = [];
  let proto: string | undefined;
  let host: string | undefined;
  for (const element of trusted.isTrusted(peer) ? elementsFromRight(list) : NO_ELEMENTS) {
    if (element === undefined) break;
    proto = element.proto ?? proto;
    if (parseHost(element.host) !== undefined) host = element.host;
    // `unknown` and obfuscated names (RFC 7239 6.2, 6.3) are no address, so nobody can say who wrote what stands left of them.
    const hop = addressOf(element.for ?? "");
    if (hop === undefined) break;
    elements.unshift(element.text);
    hops.unshift(hop);
    if (!trusted.isTrusted(hop)) break;
  }
  return { hops, elements, proto, host };
}

const NO_ELEMENTS: readonly ForwardedElement[] = [];

/**
 * The visitor and the front ends behind it, as they are written in the chain. What stands left of the first address that is no
 * front end was written by whoever has that address: it is left out.
 */
function believedHops(chain: string, peer: string, trusted: TrustedPeers): string[] {
  const hops = chain.split(",").map((hop) => hop.trim());
  let first = hops.length;
  let nearest = peer;
  while (first > 0 && trusted.isTrusted(nearest)) {
    const hop = addressOf(hops[first - 1] ?? "");
    // What is no address was not written by a front end we know: nothing left of it can be believed.
    if (hop === undefined) break;
    nearest = hop;
    first -= 1;
  }
  return hops.slice(first);
}

function addressOf(hop: string): string | undefined {
  if (isIP(hop) !== 0) return plainAddress(hop);
  if (hop.startsWith("[")) {
    const end = hop.indexOf("]");
    const inner = hop.slice(1, end);
    return end > 0 && isIPv6(inner) ? plainAddress(inner) : undefined;
  }
  const colon = hop.lastIndexOf(":");
  const host = hop.slice(0, colon);
  return colon > 0 && isIPv4(host) ? host : undefined;
}

function portOf(host: string, proto: string): string {
  const colon = host.lastIndexOf(":");
  if (colon > host.lastIndexOf("]") && PORT.test(host.slice(colon + 1))) return host.slice(colon + 1);
  return proto === "https" ? "443" : "80";
}

/** RFC 7239 4 and 6: an IPv6 address is bracketed and quoted. */
function forwardedNode(address: string): string {
  return address.includes(":") ? `"[${address}]"` : address;
}

/** The same for a hop as it stood in a chain, perhaps with a port. */
function hopNode(hop: string): string {
  return isIPv6(hop) ? forwardedNode(hop) : quoteIfNeeded(hop);
}

const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/u;

function quoteIfNeeded(value: string): string {
  return TOKEN.test(value) ? value : `"${value.replace(/["\\]/gu, "\\$&")}"`;
}
