import type { RelayAddress } from "../config/relay-url.ts";
import { proxyOfEnvironment } from "./environment.ts";
import { type ProxyAddress, parseProxyUrl } from "./proxy-url.ts";

/** The proxy on the way to the relay, and who named it. */
export interface RelayProxy {
  readonly proxy: ProxyAddress;
  /** `--proxy`, or the variable's name. */
  readonly source: string;
}

/** The proxy the user named, else the environment's; an empty name means none. Throws CONFIG_INVALID. */
export function chooseProxy(
  relay: RelayAddress,
  named: string | undefined,
  env: NodeJS.ProcessEnv,
): RelayProxy | undefined {
  if (named === "") return undefined;
  if (named !== undefined) return { proxy: parseProxyUrl(named), source: "--proxy" };
  const found = proxyOfEnvironment({ host: relay.hostname, port: relay.port, isSecure: relay.isSecure }, env);
  return found === undefined ? undefined : { proxy: parseProxyUrl(found.url), source: found.variable };
}
