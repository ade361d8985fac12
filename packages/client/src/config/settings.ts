import { dirname, resolve } from "node:path";
import { loadConfig } from "./load.ts";
import { inspectPrivateFile } from "./private-file.ts";
import { parseRelayUrl, type RelayAddress } from "./relay-url.ts";
import type { FileConfig } from "./schema.ts";
import { configError, resolveSecret } from "./values.ts";

/** Name of the file a project may bring along. */
export const PROJECT_FILE = "ggrok.yml";

/** Where a setting came from, in the order in which they win. */
export type SettingSource = "flag" | "environment" | "project" | "user";

/** One configuration file that was found. */
export interface ConfigLayer {
  readonly path: string;
  readonly config: FileConfig;
}

/** All places settings come from. */
export interface Layers {
  readonly env: NodeJS.ProcessEnv;
  readonly project?: ConfigLayer;
  readonly user?: ConfigLayer;
  readonly warnings: readonly string[];
}

/**
 * Reads the configuration files. A file named with `--config` or `GGROK_CONFIG` is the only one read: who names a file
 * wants that one, and it must exist.
 */
export function loadLayers(options: {
  env: NodeJS.ProcessEnv;
  cwd: string;
  userConfig: string;
  named?: string;
  /** The command is about to write the named file. */
  mayBeMissing?: boolean;
}): Layers {
  const warnings: string[] = [];
  const read = (path: string): ConfigLayer | undefined => {
    const config = loadConfig(path);
    if (config === undefined) return undefined;
    warnings.push(...inspectPrivateFile(path, config.agent?.authtoken !== undefined || config.tokens !== undefined));
    return { path, config };
  };
  const user = read(options.named ?? options.userConfig);
  if (user === undefined && options.named !== undefined && options.mayBeMissing !== true) {
    throw configError(`${options.named} does not exist`);
  }
  const projectPath = resolve(options.cwd, PROJECT_FILE);
  const isProjectRead = options.named === undefined && projectPath !== resolve(options.userConfig);
  const projectConfig = isProjectRead ? loadConfig(projectPath) : undefined;
  return {
    env: options.env,
    ...(projectConfig !== undefined && { project: { path: projectPath, config: projectConfig } }),
    ...(user !== undefined && { user }),
    warnings,
  };
}

/** A setting with the place it came from. */
export interface Chosen<T> {
  readonly value: T;
  readonly source: SettingSource;
}

/** Flag, environment, project file, user file: the first that says something. */
export function choose<T>(
  flag: T | undefined,
  environment: T | undefined,
  layers: Layers,
  pick: (config: FileConfig) => T | undefined,
): Chosen<T> | undefined {
  if (flag !== undefined) return { value: flag, source: "flag" };
  if (environment !== undefined && environment !== "") return { value: environment, source: "environment" };
  const project = layers.project && pick(layers.project.config);
  if (project !== undefined) return { value: project, source: "project" };
  const user = layers.user && pick(layers.user.config);
  return user === undefined ? undefined : { value: user, source: "user" };
}

/** The file of authorities; one that a configuration file names lies beside that file unless its path is absolute. */
export function chooseAuthorities(flag: string | undefined, layers: Layers, cwd: string): Chosen<string> | undefined {
  const chosen = choose(flag, undefined, layers, (config) => config.ca);
  if (chosen === undefined) return undefined;
  const { value, source } = chosen;
  const file = source === "project" ? layers.project?.path : source === "user" ? layers.user?.path : undefined;
  return { value: resolve(file === undefined ? cwd : dirname(file), value), source };
}

/** Which relay to use; undefined when nobody says. */
export function chooseRelay(
  layers: Layers,
  flags: { relay?: string; insecure?: boolean },
): Chosen<RelayAddress> | undefined {
  const text = choose(flags.relay, layers.env["GGROK_RELAY"], layers, (config) => config.relay);
  if (text === undefined) return undefined;
  return { value: parseRelayUrl(text.value, flags), source: text.source };
}

/** The token for a relay, or none, with a word on why one was held back. */
export interface TokenChoice {
  readonly token?: string;
  readonly source?: SettingSource;
  readonly note?: string;
}

/**
 * Which token this relay may see. A project file can come with a cloned repository, so a relay that it alone names gets
 * nothing from the environment; tokens in files go to the one origin they are filed under.
 */
export function chooseToken(layers: Layers, relay: Chosen<RelayAddress>, flag?: string): TokenChoice {
  const { env } = layers;
  if (flag !== undefined) return { token: resolveSecret(flag, env), source: "flag" };
  const fromEnv = env["GGROK_AUTHTOKEN"];
  const isProjectOnly = relay.source === "project" && !isNamedByUser(layers, relay.value.origin);
  if (fromEnv !== undefined && fromEnv !== "" && !isProjectOnly)
    return { token: resolveSecret(fromEnv, env), source: "environment" };
  const note =
    fromEnv !== undefined && fromEnv !== ""
      ? `GGROK_AUTHTOKEN is not sent to ${relay.value.origin}, which only ${layers.project?.path ?? PROJECT_FILE} names: use --relay or \`ggrok login\` to say that you mean it`
      : undefined;
  for (const [source, layer] of [
    ["project", layers.project],
    ["user", layers.user],
  ] as const) {
    // A variable's or a file's content would leave the machine at a stranger's word, so a project file may not name one.
    const own = source === "project" ? {} : env;
    const filed = source === "user" ? layer?.config.tokens : undefined;
    const token =
      filedFor(filed, relay.value.origin) ??
      (isOriginOf(layer, relay.value.origin) ? layer?.config.agent?.authtoken : undefined);
    if (token === undefined) continue;
    if (source === "project" && /^(env|file):/.test(token)) continue;
    return { token: resolveSecret(token, own), source, ...(note !== undefined && { note }) };
  }
  return note === undefined ? {} : { note };
}

function filedFor(tokens: Readonly<Record<string, string>> | undefined, origin: string): string | undefined {
  return tokens !== undefined && Object.hasOwn(tokens, origin) ? tokens[origin] : undefined;
}

function isNamedByUser(layers: Layers, origin: string): boolean {
  return isOriginOf(layers.user, origin) || filedFor(layers.user?.config.tokens, origin) !== undefined;
}

function isOriginOf(layer: ConfigLayer | undefined, origin: string): boolean {
  const relay = layer?.config.relay;
  return relay !== undefined && parseRelayUrl(relay, { insecure: true }).origin === origin;
}
