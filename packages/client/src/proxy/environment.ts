import { BlockList, isIP } from "node:net";
import { isLoopbackHost } from "../config/relay-url.ts";
import type { Destination } from "./destination.ts";

/** A proxy the environment names, and the variable that does. */
export interface EnvironmentProxy {
  readonly url: string;
  readonly variable: string;
}

/**
 * The proxy for a destination by `HTTPS_PROXY` (`HTTP_PROXY` for http), `ALL_PROXY` and `NO_PROXY`; lower case wins, as in
 * curl. Never one for this machine: a company's proxy cannot reach it, whatever the variables forget to exclude.
 */
export function proxyOfEnvironment(
  to: Destination & { isSecure: boolean },
  env: NodeJS.ProcessEnv,
): EnvironmentProxy | undefined {
  if (isLoopbackHost(to.host)) return undefined;
  const names = to.isSecure ? ["https_proxy", "all_proxy"] : ["http_proxy", "all_proxy"];
  const found = names.map((name) => read(env, name)).find((proxy) => proxy !== undefined);
  if (found === undefined) return undefined;
  return isExcluded(to, read(env, "no_proxy")?.url ?? "") ? undefined : found;
}

/**
 * Whether a `NO_PROXY` list names the destination. An entry is `*`, a name (its subdomains too, with or without a leading
 * dot), a name with `*` in it, an address, or a network (`10.0.0.0/8`); each with a port if it means that port alone.
 */
export function isExcluded(to: Destination, list: string): boolean {
  const host = to.host.toLowerCase().replace(/\.$/, "");
  return list
    .split(/[\s,]+/)
    .filter((entry) => entry !== "")
    .some((entry) => matchesEntry(host, to.port, entry.toLowerCase()));
}

/** Whether `pattern`, in which `*` stands for any text, covers all of `text`. Linear in both: no way to make it slow. */
export function matchesGlob(text: string, pattern: string): boolean {
  let t = 0;
  let p = 0;
  let star = -1;
  let retry = 0;
  while (t < text.length) {
    if (pattern[p] === "*") {
      star = p++;
      retry = t;
    } else if (p < pattern.length && pattern[p] === text[t]) {
      t++;
      p++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++retry;
    } else return false;
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}

function matchesEntry(host: string, port: number, entry: string): boolean {
  if (entry === "*") return true;
  const { name, entryPort } = splitPort(entry);
  if (entryPort !== undefined && entryPort !== port) return false;
  const slash = name.indexOf("/");
  if (slash > 0) return isInNetwork(host, name.slice(0, slash), name.slice(slash + 1));
  if (isIP(name) !== 0) return isIP(host) !== 0 && isInNetwork(host, name, isIP(name) === 4 ? "32" : "128");
  if (name.includes("*")) return matchesGlob(host, name);
  const bare = name.replace(/^\.|\.$/g, "");
  return bare !== "" && (host === bare || host.endsWith(`.${bare}`));
}

function splitPort(entry: string): { name: string; entryPort: number | undefined } {
  const literal = /^\[([^\]]*)\](?::(\d+))?$/.exec(entry);
  if (literal !== null) {
    return { name: literal[1] ?? "", entryPort: literal[2] === undefined ? undefined : Number(literal[2]) };
  }
  const colon = entry.indexOf(":");
  // More than one colon: an IPv6 address or network, which has no port without brackets.
  if (colon === -1 || colon !== entry.lastIndexOf(":")) return { name: entry, entryPort: undefined };
  const digits = entry.slice(colon + 1);
  return { name: entry.slice(0, colon), entryPort: /^\d+$/.test(digits) ? Number(digits) : -1 };
}

function isInNetwork(host: string, network: string, prefixText: string): boolean {
  const family = isIP(network);
  const prefix = Number(prefixText);
  if (family === 0 || isIP(host) !== family || !/^\d{1,3}$/.test(prefixText)) return false;
  if (prefix > (family === 4 ? 32 : 128)) return false;
  const list = new BlockList();
  list.addSubnet(network, prefix, family === 4 ? "ipv4" : "ipv6");
  return list.check(host, family === 4 ? "ipv4" : "ipv6");
}

function read(env: NodeJS.ProcessEnv, lowerName: string): EnvironmentProxy | undefined {
  const upperName = lowerName.toUpperCase();
  for (const variable of [lowerName, upperName]) {
    const url = env[variable]?.trim();
    // Set but empty counts as unset, as in curl.
    if (url !== undefined && url !== "") return { url, variable };
  }
  return undefined;
}
