import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { loadConfig } from "../../config/load.ts";
import { inspectPrivateFile } from "../../config/private-file.ts";
import { parseRelayUrl } from "../../config/relay-url.ts";
import { PROJECT_FILE } from "../../config/settings.ts";
import { setConfigValue, storeToken } from "../../config/token-store.ts";
import { configError } from "../../config/values.ts";
import { loadContext, locateConfig, type RelayFlags } from "../context.ts";
import { escapeForTerminal } from "../escape.ts";
import { ExitCode, parseFlag } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { parseToken, pickRelay } from "./login.ts";

/** `ggrok config add-authtoken TOKEN`: stores a token for the relay in use, unproved. Returns the exit code. */
export function addAuthtoken(tokenText: string, flags: RelayFlags, io: Io): number {
  const context = loadContext(flags, io, { mayBeMissing: true });
  const relay = pickRelay(undefined, flags, context);
  const token = parseToken(tokenText, io.env);
  storeToken(context.configPath, relay.origin, token);
  io.stdout.write(`Authtoken for ${relay.origin} saved to configuration file: ${context.configPath}\n`);
  return ExitCode.Ok;
}

/** `ggrok config set-relay RELAY`. Returns the exit code. */
export function setRelay(relayText: string, flags: RelayFlags, io: Io): number {
  const { configPath } = locateConfig(flags, io);
  const relay = parseFlag("relay", () => parseRelayUrl(relayText, flags));
  setConfigValue(configPath, ["relay"], relay.origin);
  io.stdout.write(`Relay ${relay.origin} saved to configuration file: ${configPath}\n`);
  return ExitCode.Ok;
}

/** `ggrok config check`: every problem of the files that would be read, with its line. Returns the exit code. */
export function checkConfig(flags: RelayFlags, io: Io): number {
  const { configPath, named } = locateConfig(flags, io);
  const files = named !== undefined ? [configPath] : [configPath, resolve(io.cwd, PROJECT_FILE)];
  const problems: string[] = [];
  let valid = 0;
  for (const path of new Set(files)) {
    try {
      const config = loadConfig(path);
      if (config === undefined) continue;
      if (config.relay !== undefined) parseRelayUrl(config.relay, { insecure: true });
      if (path === configPath) {
        const holdsSecret = config.agent?.authtoken !== undefined || config.tokens !== undefined;
        for (const warning of inspectPrivateFile(path, holdsSecret))
          io.stderr.write(`ggrok: ${escapeForTerminal(warning)}\n`);
      }
      valid += 1;
      io.stdout.write(`Valid configuration file at ${path}\n`);
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
    }
  }
  if (named !== undefined && !existsSync(configPath)) problems.push(`${configPath} does not exist`);
  if (problems.length > 0) throw configError(problems.join("\n"));
  if (valid === 0) io.stdout.write(`No configuration file; the place for one is ${configPath}\n`);
  return ExitCode.Ok;
}

/** `ggrok config path`. Returns the exit code. */
export function printConfigPath(flags: RelayFlags, io: Io): number {
  io.stdout.write(`${locateConfig(flags, io).configPath}\n`);
  return ExitCode.Ok;
}
