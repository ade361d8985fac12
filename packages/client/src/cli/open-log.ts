import { closeSync, openSync, writeSync } from "node:fs";
import { resolve } from "node:path";
import { choose, type Layers } from "../config/settings.ts";
import { configError } from "../config/values.ts";
import type { Io } from "./io.ts";
import { createLog, LOG_LEVELS, type Log, type LogFormat, type LogLevel } from "./log.ts";

/** Flags about the log. */
export interface LogFlags {
  readonly log?: string;
  readonly logFormat?: LogFormat;
  readonly logLevel?: LogLevel;
}

/** The log of a command, or none. */
export interface OpenLog {
  readonly log: Log | undefined;
  close(): void;
}

/**
 * Opens what `--log` names: `stdout`, `stderr`, `false`, or a file, which is appended to. Without it: standard error,
 * or nothing where the screen or the JSON events say it all.
 */
export function openLog(o: { flags: LogFlags; layers: Layers; io: Io; isQuietByDefault: boolean }): OpenLog {
  const { flags, layers, io } = o;
  const place =
    choose<string | false>(flags.log, undefined, layers, (config) => config.agent?.log)?.value ??
    (o.isQuietByDefault ? false : "stderr");
  const level = readLevel(
    choose<string>(flags.logLevel, io.env["GGROK_LOG_LEVEL"], layers, (config) => config.agent?.log_level)?.value ??
      "info",
  );
  const format = choose<LogFormat>(flags.logFormat, undefined, layers, (config) => config.agent?.log_format)?.value;
  if (place === false || place === "false") return { log: undefined, close() {} };
  if (place === "stdout" || place === "stderr") {
    const stream = io[place];
    return { log: createLog({ format: format ?? "term", level, write: (line) => stream.write(line) }), close() {} };
  }
  const handle = openForAppend(resolve(io.cwd, place));
  return {
    log: createLog({ format: format ?? "logfmt", level, write: (line) => writeSync(handle, line) }),
    close: () => closeSync(handle),
  };
}

function readLevel(text: string): LogLevel {
  const level = LOG_LEVELS.find((name) => name === text);
  if (level === undefined) throw configError(`the log level "${text}" is none of ${LOG_LEVELS.join(", ")}`);
  return level;
}

function openForAppend(path: string): number {
  try {
    return openSync(path, "a", 0o600);
  } catch (cause) {
    throw configError(`the log file ${path} cannot be opened`, cause);
  }
}
