import { homedir } from "node:os";
import { join } from "node:path";

/** What the paths depend on; tests hand in their own. */
export interface PathSource {
  readonly env: NodeJS.ProcessEnv;
  readonly platform: NodeJS.Platform;
  readonly home: string;
}

/** Folders and files of the agent on this machine. */
export interface Paths {
  /** The user's own configuration file. */
  readonly userConfig: string;
  /** Agent id, chosen names, confirmed project files. */
  readonly stateDir: string;
}

/** The process's own surroundings. */
export function currentPathSource(): PathSource {
  return { env: process.env, platform: process.platform, home: homedir() };
}

/** XDG folders where the variables are set and on Linux; elsewhere the platform's own place, as ngrok has it. */
export function resolvePaths(source: PathSource): Paths {
  const { env } = source;
  const own =
    source.platform === "darwin"
      ? join(source.home, "Library", "Application Support", "ggrok")
      : source.platform === "win32"
        ? join(env["LOCALAPPDATA"] ?? join(source.home, "AppData", "Local"), "ggrok")
        : undefined;
  const configDir = xdg(env["XDG_CONFIG_HOME"]) ?? own ?? join(source.home, ".config", "ggrok");
  const stateDir = xdg(env["XDG_STATE_HOME"]) ?? own ?? join(source.home, ".local", "state", "ggrok");
  return { userConfig: join(configDir, "ggrok.yml"), stateDir };
}

/** The XDG rules say that an empty variable counts as unset. */
function xdg(value: string | undefined): string | undefined {
  return value === undefined || value === "" ? undefined : join(value, "ggrok");
}
