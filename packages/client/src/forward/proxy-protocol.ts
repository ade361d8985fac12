import { isIP, isIPv4 } from "node:net";

/** Version of the PROXY protocol, haproxy's proxy-protocol.txt. */
export type ProxyProtocolVersion = 1 | 2;

/** Both ends of the visitor's connection, as the relay saw them; what it does not know is left out. */
export interface ConnectionFacts {
  readonly client?: string;
  readonly clientPort?: number;
  readonly local?: string;
  readonly localPort?: number;
}

const SIGNATURE = Buffer.from("0d0a0d0a000d0a515549540a", "hex");
const VERSION_2 = 0x20;
const COMMAND_LOCAL = 0;
const COMMAND_PROXY = 1;
const FAMILY_INET_STREAM = 0x11;
const FAMILY_INET6_STREAM = 0x21;

/**
 * The header that tells an app who its visitor is, before the visitor's first byte. Addresses of two families are written as
 * IPv6; a visitor whose address is not known is UNKNOWN (1) or LOCAL (2), and a port that is not known is 0.
 */
export function encodeProxyHeader(version: ProxyProtocolVersion, facts: ConnectionFacts): Buffer {
  const { client = "", local = "", clientPort = 0, localPort = 0 } = facts;
  const isKnown = isIP(client) !== 0;
  // Without an address of its own the relay is the unspecified one of the visitor's family.
  const destination = isIP(local) !== 0 ? local : isIPv4(client) ? "0.0.0.0" : "::";
  const isInet = isIPv4(client) && isIPv4(destination);
  const [from, to] = isInet ? [client, destination] : [asInet6(client), asInet6(destination)];
  if (version === 1) {
    const line = isKnown
      ? `PROXY ${isInet ? "TCP4" : "TCP6"} ${from} ${to} ${String(clientPort)} ${String(localPort)}`
      : "PROXY UNKNOWN";
    return Buffer.from(`${line}\r\n`, "latin1");
  }
  if (!isKnown) return Buffer.concat([SIGNATURE, Buffer.from([VERSION_2 | COMMAND_LOCAL, 0, 0, 0])]);
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(clientPort, 0);
  ports.writeUInt16BE(localPort, 2);
  const body = Buffer.concat([addressBytes(from), addressBytes(to), ports]);
  const head = Buffer.from([
    VERSION_2 | COMMAND_PROXY,
    isInet ? FAMILY_INET_STREAM : FAMILY_INET6_STREAM,
    body.length >> 8,
    body.length & 0xff,
  ]);
  return Buffer.concat([SIGNATURE, head, body]);
}

function asInet6(address: string): string {
  return isIPv4(address) ? `::ffff:${address}` : address;
}

/** The bytes of an address in network order. */
function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split(".").map(Number));
  // The URL parser writes every form of an address in the one of RFC 5952, with hexadecimal groups only.
  const plain = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [left = "", right] = plain.split("::");
  const groups = (text: string): string[] => (text === "" ? [] : text.split(":"));
  const head = groups(left);
  const tail = right === undefined ? [] : groups(right);
  const zeros = new Array<string>(8 - head.length - tail.length).fill("0");
  const bytes = Buffer.alloc(16);
  for (const [index, group] of [...head, ...zeros, ...tail].entries())
    bytes.writeUInt16BE(Number.parseInt(group, 16), index * 2);
  return bytes;
}
