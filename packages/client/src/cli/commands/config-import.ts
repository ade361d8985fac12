import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { importNgrok } from "../../config/import-ngrok.ts";
import { mergeConfig } from "../../config/token-store.ts";
import { configError } from "../../config/values.ts";
import { locateConfig, type RelayFlags } from "../context.ts";
import { escapeForTerminal } from "../escape.ts";
import { ExitCode } from "../exit-codes.ts";
import type { Io } from "../io.ts";

/** `ggrok config import [FILE]`: the endpoints of an ngrok.yml, and a line for all that was dropped. Returns the exit code. */
export function importConfig(file: string | undefined, flags: RelayFlags, io: Io): number {
  const { configPath } = locateConfig(flags, io);
  const path = file === undefined ? ngrokConfig(io.env) : resolve(io.cwd, file);
  const { config, dropped } = importNgrok(readSource(path));
  const left = mergeConfig(configPath, config);
  for (const line of [...dropped, ...left]) io.stderr.write(`dropped ${escapeForTerminal(line)}\n`);
  const kept = (config.endpoints ?? []).length - left.filter((line) => line.startsWith("endpoints.")).length;
  io.stdout.write(`${kept} ${kept === 1 ? "endpoint" : "endpoints"} of ${path} added to ${configPath}\n`);
  return ExitCode.Ok;
}

/** Where ngrok's agent keeps its configuration. */
function ngrokConfig(env: NodeJS.ProcessEnv): string {
  const home = env["HOME"] ?? homedir();
  if (process.platform === "win32") return join(env["LOCALAPPDATA"] ?? home, "ngrok", "ngrok.yml");
  if (process.platform === "darwin") return join(home, "Library", "Application Support", "ngrok", "ngrok.yml");
  return join(env["XDG_CONFIG_HOME"] ?? join(home, ".config"), "ngrok", "ngrok.yml");
}

function readSource(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw configError(`${path} cannot be read: say where the ngrok.yml is`, cause);
  }
}
