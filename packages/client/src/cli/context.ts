import { resolve } from "node:path";
import { currentPathSource, type Paths, resolvePaths } from "../config/paths.ts";
import { parseRelayUrl, type RelayAddress } from "../config/relay-url.ts";
import {
  type Chosen,
  choose,
  chooseAuthorities,
  chooseRelay,
  chooseToken,
  type Layers,
  loadLayers,
} from "../config/settings.ts";
import { escapeForTerminal } from "./escape.ts";
import { parseFlag } from "./exit-codes.ts";
import { noRelayError } from "./first-use.ts";
import type { Io } from "./io.ts";
import { confirmProject } from "./trust.ts";

/** Flags that every command which speaks to a relay takes. */
export interface RelayFlags {
  readonly relay?: string;
  readonly authtoken?: string;
  readonly insecure?: boolean;
  readonly config?: string;
}

/** Settings and folders, read once per command. */
export interface Context {
  readonly paths: Paths;
  readonly layers: Layers;
  /** The file that `login` and `config` write to. */
  readonly configPath: string;
}

/** Where the user's configuration is: `--config`, `GGROK_CONFIG`, or the platform's place. */
export function locateConfig(flags: { config?: string }, io: Io): { paths: Paths; named?: string; configPath: string } {
  const paths = resolvePaths({ ...currentPathSource(), env: io.env });
  const named = flags.config ?? (io.env["GGROK_CONFIG"] === "" ? undefined : io.env["GGROK_CONFIG"]);
  const path = named === undefined ? undefined : resolve(io.cwd, named);
  return { paths, configPath: path ?? paths.userConfig, ...(path !== undefined && { named: path }) };
}

/** Reads all configuration there is. */
export function loadContext(flags: { config?: string }, io: Io, o: { mayBeMissing?: boolean } = {}): Context {
  const { paths, named, configPath } = locateConfig(flags, io);
  const layers = readLayers({ paths, named }, io, o);
  for (const warning of layers.warnings) io.stderr.write(`ggrok: ${escapeForTerminal(warning)}\n`);
  return { paths, layers, configPath };
}

/** Reads the same files once more. */
export function reloadLayers({ paths }: Context, flags: { config?: string }, io: Io): Layers {
  return readLayers({ paths, named: locateConfig(flags, io).named }, io, {});
}

function readLayers(
  { paths, named }: { paths: Paths; named: string | undefined },
  io: Io,
  o: { mayBeMissing?: boolean },
): Layers {
  return loadLayers({
    env: io.env,
    cwd: io.cwd,
    userConfig: paths.userConfig,
    ...(named !== undefined && { named }),
    ...o,
  });
}

/** The relay to use, confirmed where only a project file names it; ends with exit code 3 when there is none. */
export async function requireRelay(context: Context, flags: RelayFlags, io: Io): Promise<Chosen<RelayAddress>> {
  const { relay } = flags;
  if (relay !== undefined) parseFlag("--relay", () => parseRelayUrl(relay, flags));
  const chosen = chooseRelay(context.layers, flags);
  if (chosen === undefined) throw noRelayError();
  if (chosen.source === "project") await requireConfirmed(context, io);
  return chosen;
}

/** Asks about the project's file where something of it is about to be used. */
export async function requireConfirmed(context: Context, io: Io): Promise<void> {
  const { project } = context.layers;
  if (project !== undefined) await confirmProject(project, context.paths.stateDir, io);
}

/** Proxy and authorities on the way to the relay, confirmed where a project file names them: it could name a listener's. */
export async function pickWay(
  context: Context,
  flags: { readonly proxy?: string; readonly ca?: string },
  io: Io,
): Promise<{ readonly proxy?: string; readonly ca?: string }> {
  const { layers } = context;
  const proxy = choose(flags.proxy, undefined, layers, (config) => config.proxy);
  const ca = chooseAuthorities(flags.ca, layers, io.cwd);
  if (proxy?.source === "project" || ca?.source === "project") await requireConfirmed(context, io);
  return {
    ...(proxy !== undefined && { proxy: proxy.value }),
    ...(ca !== undefined && { ca: ca.value }),
  };
}

/** The token this relay may see, if there is one. */
export function pickToken(
  context: Context,
  relay: Chosen<RelayAddress>,
  flags: RelayFlags,
  io: Io,
): string | undefined {
  const { token, note } = chooseToken(context.layers, relay, flags.authtoken);
  if (note !== undefined) io.stderr.write(`ggrok: ${escapeForTerminal(note)}\n`);
  return token;
}
