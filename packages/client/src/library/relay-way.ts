import { resolve } from "node:path";
import type { DialOptions } from "../agent/dial.ts";
import { currentPathSource, resolvePaths } from "../config/paths.ts";
import { choose, chooseAuthorities, chooseRelay, chooseToken, type Layers, loadLayers } from "../config/settings.ts";
import { configError } from "../config/values.ts";
import type { ConnectionOptions } from "../types.ts";

/** The relay, how it is reached, and where what is remembered of it is kept. */
export interface RelayWay {
  readonly way: Pick<DialOptions, "relay" | "token" | "proxy" | "ca">;
  readonly stateDir: string;
  /** The files that were read. */
  readonly layers: Layers;
}

/**
 * Chooses the relay of a library's call in the order of the command line: options, environment, the user's file. A project
 * file is not read: a library is not asked questions.
 */
export function chooseRelayWay(
  options: Pick<ConnectionOptions, "relay" | "insecure" | "proxy" | "ca">,
  ownToken: string | undefined,
): RelayWay {
  const { env } = process;
  const paths = resolvePaths(currentPathSource());
  const named = env["GGROK_CONFIG"];
  const { project: _project, ...layers } = loadLayers({
    env,
    cwd: process.cwd(),
    userConfig: paths.userConfig,
    ...(named !== undefined && named !== "" && { named: resolve(named) }),
  });
  const relay = chooseRelay(layers, {
    ...(options.relay !== undefined && { relay: options.relay }),
    ...(options.insecure !== undefined && { insecure: options.insecure }),
  });
  if (relay === undefined) throw configError("no relay: give `relay`, set GGROK_RELAY, or run `ggrok login RELAY`");
  const { token } = chooseToken(layers, relay, ownToken);
  const proxy = choose(options.proxy, undefined, layers, (config) => config.proxy)?.value;
  const ca = chooseAuthorities(options.ca, layers, process.cwd())?.value;
  return {
    way: {
      relay: relay.value,
      ...(token !== undefined && { token }),
      ...(proxy !== undefined && { proxy }),
      ...(ca !== undefined && { ca }),
    },
    stateDir: paths.stateDir,
    layers,
  };
}
