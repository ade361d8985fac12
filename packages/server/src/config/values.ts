import { BlockList, isIP } from "node:net";
import { z } from "zod";

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/u;
// The longest a Node timer can wait; beyond it the timer would fire at once.
const MAX_DURATION_MS = 2_147_483_647;

/** Milliseconds of `500ms`, `30s`, `10m`, `1h` or `0`; undefined when it is none of these. */
export function parseDuration(text: string): number | undefined {
  if (text === "0") return 0;
  const [, digits, unit] = DURATION.exec(text) ?? [];
  const factor = UNIT_MS[unit ?? ""];
  if (digits === undefined || factor === undefined) return undefined;
  const ms = Math.round(Number(digits) * factor);
  return ms <= MAX_DURATION_MS ? ms : undefined;
}

/** Reverse of {@link parseDuration}, in the largest unit that divides. */
export function formatDuration(ms: number): string {
  if (ms !== 0 && ms % 60_000 === 0) return `${String(ms / 60_000)}m`;
  return ms % 1_000 === 0 ? `${String(ms / 1_000)}s` : `${String(ms)}ms`;
}

/** Words that stand for lists of networks. */
const NETWORKS: Readonly<Record<string, readonly string[]>> = {
  none: [],
  loopback: ["127.0.0.0/8", "::1/128"],
  private: [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
  ],
};

/** Networks of one word, address or CIDR; undefined when it is none of these. */
export function parseNetwork(text: string): readonly string[] | undefined {
  const named = Object.hasOwn(NETWORKS, text) ? NETWORKS[text] : undefined;
  if (named !== undefined) return named;
  const [address = "", bits, ...rest] = text.split("/");
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return undefined;
  const width = family === 4 ? 32 : 128;
  if (bits === undefined) return [`${address}/${String(width)}`];
  return /^\d{1,3}$/u.test(bits) && Number(bits) <= width ? [text] : undefined;
}

/** Tells whether an address lies in one of the networks; IPv4 in IPv6 form counts as IPv4. */
export function createNetworkTest(networks: readonly string[]): (address: string | undefined) => boolean {
  const list = new BlockList();
  for (const network of networks) {
    const slash = network.lastIndexOf("/");
    const address = network.slice(0, slash);
    list.addSubnet(address, Number(network.slice(slash + 1)), isIP(address) === 6 ? "ipv6" : "ipv4");
  }
  return (address) => {
    if (address === undefined) return false;
    const plain = /^::ffff:\d+\.\d+\.\d+\.\d+$/iu.test(address) ? address.slice(7) : address.replace(/%.*$/u, "");
    const family = isIP(plain);
    return family !== 0 && list.check(plain, family === 6 ? "ipv6" : "ipv4");
  };
}

/** True for 127.0.0.0/8 and ::1, in either notation. */
export const isLoopback: (address: string | undefined) => boolean = createNetworkTest(NETWORKS["loopback"] ?? []);

const HOSTNAME = /^(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/u;

/** A whole number given as digits or as a YAML number. */
export function wholeNumber(max: number): z.ZodType<number, unknown> {
  return z
    .union(
      [
        z.number(),
        z
          .string()
          .regex(/^\d{1,9}$/u)
          .transform(Number),
      ],
      { error: `must be a whole number from 0 to ${String(max)}` },
    )
    .refine((value) => Number.isInteger(value) && value >= 0 && value <= max, {
      error: `must be a whole number from 0 to ${String(max)}`,
    });
}

/** A duration such as `30s`, in milliseconds. */
export const duration: z.ZodType<number, unknown> = z.unknown().transform((value, context) => {
  const ms = typeof value === "string" || value === 0 ? parseDuration(String(value)) : undefined;
  if (ms !== undefined) return ms;
  context.addIssue({ code: "custom", message: "must be a duration with its unit, such as 500ms, 30s or 10m" });
  return z.NEVER;
});

/** A host name without port, in lower case. */
export const hostname: z.ZodType<string, unknown> = z
  .string({ error: "must be a host name" })
  .transform((value) => value.toLowerCase().replace(/\.$/u, ""))
  .refine((value) => HOSTNAME.test(value), { error: "must be a plain host name, without scheme, port, path or *." });

/** An address to listen on. */
export const address: z.ZodType<string, unknown> = z
  .string({ error: "must be an address" })
  .refine((value) => isIP(value) !== 0 || HOSTNAME.test(value.toLowerCase()), {
    error: "must be an IP address or a host name, without a port",
  });

/** An http or https origin. */
export const originUrl: z.ZodType<string, unknown> = z
  .string({ error: "must be a URL" })
  .refine(isOrigin, { error: "must be http:// or https:// with a host and nothing behind it" })
  .transform((value) => new URL(value).origin);

function isOrigin(value: string): boolean {
  if (!URL.canParse(value)) return false;
  const url = new URL(value);
  const isHttp = url.protocol === "http:" || url.protocol === "https:";
  return (
    isHttp && url.pathname === "/" && url.search === "" && url.hash === "" && url.username === "" && url.password === ""
  );
}

/** A list of networks, as CIDRs. */
export const networks: z.ZodType<string[], unknown> = z.unknown().transform((value, context) => {
  const found: string[] = [];
  for (const item of Array.isArray(value) ? value : [value]) {
    const network = typeof item === "string" ? parseNetwork(item) : undefined;
    if (network !== undefined) found.push(...network);
    else
      context.addIssue({
        code: "custom",
        message: `${JSON.stringify(item)} is no address, CIDR, "loopback", "private" or "none"`,
      });
  }
  return found;
});

const PORT_RANGE = /^(\d{1,5})(?:-(\d{1,5}))?$/u;

/** Ranges of ports, such as `20000-20100`. */
export const portRanges: z.ZodType<{ first: number; last: number }[], unknown> = z
  .unknown()
  .transform((value, context) => {
    const items = (Array.isArray(value) ? value : [value]).map(String);
    return items.map((item) => {
      const [, low, high = low] = PORT_RANGE.exec(item.trim()) ?? [];
      const [first, last] = [Number(low), Number(high)];
      if (low === undefined || first < 1 || last > 65_535 || first > last)
        context.addIssue({
          code: "custom",
          message: `${JSON.stringify(item)} is no range of ports such as 20000-20100`,
        });
      return { first, last };
    });
  });

/** A switch. */
export const flag: z.ZodType<boolean, unknown> = z.union(
  [
    z.boolean(),
    z.enum(["true", "1", "yes"]).transform(() => true),
    z.enum(["false", "0", "no"]).transform(() => false),
  ],
  { error: "must be true or false" },
);
