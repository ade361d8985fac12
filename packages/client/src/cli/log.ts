import { escapeForTerminal, stringifyForTerminal } from "./escape.ts";

/** Log levels, most talkative first. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
/** Log formats; `logfmt` is what ngrok's agent calls so. */
export const LOG_FORMATS = ["json", "logfmt", "term"] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

/** What stands beside the message. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** Writes log lines of one format to one place. */
export interface Log {
  /** Whether lines of this level are written at all. */
  isEnabled(level: LogLevel): boolean;
  write(level: LogLevel, message: string, fields?: LogFields): void;
}

const SHORT_LEVEL: Readonly<Record<LogLevel, string>> = { debug: "DBUG", info: "INFO", warn: "WARN", error: "EROR" };

/** Makes a log; lines below `level` are dropped, control bytes never pass. */
export function createLog(o: {
  format: LogFormat;
  level: LogLevel;
  write: (line: string) => void;
  now?: () => Date;
}): Log {
  const lowest = LOG_LEVELS.indexOf(o.level);
  const now = o.now ?? (() => new Date());
  const isEnabled = (level: LogLevel): boolean => LOG_LEVELS.indexOf(level) >= lowest;
  return {
    isEnabled,
    write(level, message, fields = {}) {
      if (isEnabled(level)) o.write(`${formatLine(o.format, level, message, fields, now())}\n`);
    },
  };
}

function formatLine(format: LogFormat, level: LogLevel, message: string, fields: LogFields, time: Date): string {
  if (format === "json") return stringifyForTerminal({ t: time.toISOString(), lvl: level, msg: message, ...fields });
  const pairs = Object.entries(fields).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${quote(String(value))}`],
  );
  if (format === "logfmt")
    return [`t=${time.toISOString()}`, `lvl=${level}`, `msg=${quote(message)}`, ...pairs].join(" ");
  return [time.toTimeString().slice(0, 8), SHORT_LEVEL[level], escapeForTerminal(message), ...pairs].join(" ");
}

/** Bare where nothing can be misread, else quoted, so that a value cannot pretend to be a further field. */
function quote(value: string): string {
  const escaped = escapeForTerminal(value);
  return /^[^\s"=\\]+$/.test(escaped) ? escaped : `"${escaped.replaceAll('"', '\\"')}"`;
}
