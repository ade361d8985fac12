import { BlockList, isIP } from "node:net";

/** IANA's special-purpose registries: every network that is not the public internet, multicast and the unassigned included. */
const NETWORKS_V4: readonly (readonly [string, number])[] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.31.196.0", 24],
  ["192.52.193.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["192.175.48.0", 24],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 3],
];

let blockedV4: BlockList | undefined;

/** Made when it is first asked: most commands never do, and each start would wait for it. */
function isBlockedV4(address: string): boolean {
  if (blockedV4 === undefined) {
    blockedV4 = new BlockList();
    for (const [network, prefix] of NETWORKS_V4) blockedV4.addSubnet(network, prefix, "ipv4");
  }
  return blockedV4.check(address, "ipv4");
}

/**
 * Whether an address belongs to the public internet. IPv6 has an allow list of its own: global unicast (2000::/3) alone,
 * and of that only what carries no IPv4 address and no documentation in it. The translated forms (IPv4-mapped, NAT64) are
 * judged by the address they carry.
 */
export function isPublicAddress(address: string): boolean {
  const plain = address.replace(/%.*$/s, "");
  const family = isIP(plain);
  if (family === 4) return !isBlockedV4(plain);
  if (family !== 6) return false;
  const words = wordsOf(plain);
  const [a = 0, b = 0] = words;
  const embedded = (at: number): string => embeddedV4(words, at);
  // ::ffff:0:0/96
  if (words.slice(0, 5).every((w) => w === 0) && words[5] === 0xffff) return isPublicAddress(embedded(6));
  // 64:ff9b::/96, NAT64
  if (a === 0x64 && b === 0xff9b && words.slice(2, 6).every((w) => w === 0)) return isPublicAddress(embedded(6));
  // 2002::/16, 6to4
  if (a === 0x2002) return isPublicAddress(embedded(1));
  if ((a & 0xe000) !== 0x2000) return false;
  // 2001::/23 holds Teredo, ORCHID and benchmarks; 2001:db8::/32 and 3fff::/20 are documentation.
  if (a === 0x2001 && (b < 0x200 || b === 0xdb8)) return false;
  return !(a === 0x3fff && b < 0x1000);
}

function embeddedV4(words: readonly number[], at: number): string {
  const high = words[at] ?? 0;
  const low = words[at + 1] ?? 0;
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
}

/** The eight words of an IPv6 address that `isIP` has accepted. */
function wordsOf(address: string): number[] {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  const [, head = "", ...octets] = dotted ?? [];
  const [o1 = 0, o2 = 0, o3 = 0, o4 = 0] = octets.map(Number);
  const text = dotted === null ? address : `${head}${((o1 << 8) | o2).toString(16)}:${((o3 << 8) | o4).toString(16)}`;
  const [left = "", right] = text.split("::");
  const parse = (part: string): number[] => (part === "" ? [] : part.split(":").map((w) => Number.parseInt(w, 16)));
  const first = parse(left);
  if (right === undefined) return first;
  const last = parse(right);
  return [...first, ...new Array<number>(8 - first.length - last.length).fill(0), ...last];
}
