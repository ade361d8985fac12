import { isIPv4, isIPv6 } from "node:net";

/** What the beginning of a connection is, as far as it has come. */
export type ProxyHeader =
  | { readonly kind: "none" | "partial" | "malformed" }
  | {
      readonly kind: "whole";
      /** Length of the header; what follows is the visitor's. */
      readonly bytes: number;
      /** Who connects; undefined when the front end speaks for itself, as in a health check. */
      readonly source: { readonly address: string; readonly port: number } | undefined;
    };

const V1_START = Buffer.from("PROXY ", "latin1");
/** By the specification the longest line, its end included. */
const V1_MAX_BYTES = 107;
const V2_SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const V2_FIXED_BYTES = 16;
/** Addresses of the local family and a few hundred bytes of extensions; nobody sends more. */
const V2_MAX_BYTES = 4_096;

/** Reads a header of the PROXY protocol, version 1 or 2, from the first bytes of a connection. */
export function readProxyHeader(start: Buffer): ProxyHeader {
  if (startsLike(start, V1_START)) return start.length < V1_START.length ? PARTIAL : readV1(start);
  if (startsLike(start, V2_SIGNATURE)) return start.length < V2_FIXED_BYTES ? PARTIAL : readV2(start);
  return { kind: "none" };
}

const PARTIAL: ProxyHeader = { kind: "partial" };
const MALFORMED: ProxyHeader = { kind: "malformed" };

function startsLike(start: Buffer, whole: Buffer): boolean {
  const length = Math.min(start.length, whole.length);
  return length > 0 && start.subarray(0, length).equals(whole.subarray(0, length));
}

function readV1(start: Buffer): ProxyHeader {
  const end = start.subarray(0, V1_MAX_BYTES).indexOf("\r\n", 0, "latin1");
  if (end < 0) return start.length < V1_MAX_BYTES ? PARTIAL : MALFORMED;
  const bytes = end + 2;
  const words = start.toString("latin1", 0, end).split(" ");
  const [, family, address = "", , port = "", ...rest] = words;
  if (family === "UNKNOWN") return { kind: "whole", bytes, source: undefined };
  const isAddress = family === "TCP4" ? isIPv4(address) : family === "TCP6" && isIPv6(address);
  if (!isAddress || words.length !== 6 || rest.length !== 1 || !isPort(port)) return MALFORMED;
  return { kind: "whole", bytes, source: { address, port: Number(port) } };
}

function isPort(text: string): boolean {
  return /^\d{1,5}$/u.test(text) && Number(text) <= 65_535;
}

function readV2(start: Buffer): ProxyHeader {
  const command = start.readUInt8(12);
  const family = start.readUInt8(13);
  const length = start.readUInt16BE(14);
  const bytes = V2_FIXED_BYTES + length;
  if (command >> 4 !== 2 || (command & 0x0f) > 1 || bytes > V2_MAX_BYTES) return MALFORMED;
  if (start.length < bytes) return PARTIAL;
  // LOCAL: the front end itself. Families that have no address of the internet say nothing we could use.
  const isSpokenFor = (command & 0x0f) === 1;
  if (isSpokenFor && family >> 4 === 1) {
    if (length < 12) return MALFORMED;
    const address = [...start.subarray(16, 20)].join(".");
    return { kind: "whole", bytes, source: { address, port: start.readUInt16BE(24) } };
  }
  if (isSpokenFor && family >> 4 === 2) {
    if (length < 36) return MALFORMED;
    const groups = Array.from({ length: 8 }, (_, i) => start.readUInt16BE(16 + 2 * i).toString(16));
    return { kind: "whole", bytes, source: { address: groups.join(":"), port: start.readUInt16BE(48) } };
  }
  return { kind: "whole", bytes, source: undefined };
}
