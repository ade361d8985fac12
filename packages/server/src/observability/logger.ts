import type { Writable } from "node:stream";
import { type DestinationStream, type Logger as PinoLogger, pino } from "pino";
import pretty from "pino-pretty";
import { escapeControls } from "./escape.ts";
import { LogWriter } from "./log-writer.ts";

/** How a line looks: `json` for machines, `term` for people. */
export type LogFormat = "json" | "term";
export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "silent";

/** The relay's logger. Rows that scripts rely on go through {@link logEvent}. */
export type Logger = PinoLogger;

/** Events of the JSON log that scripts may rely on. */
export type LogEvent =
  | "relay.listening"
  | "relay.draining"
  | "relay.stopped"
  | "relay.notice"
  | "relay.overloaded"
  | "relay.recovered"
  | "session.online"
  | "session.lost"
  | "session.closed"
  | "endpoint.bound"
  | "endpoint.released"
  | "exchange";

// Names under which a careless log call could carry a secret: the last line of defence behind `Secret`.
const SECRET_PATHS = ["authorization", "cookie", "token", "secret", "proxy-authorization", "set-cookie"].flatMap(
  (name) => {
    const key = name.includes("-") ? `["${name}"]` : `.${name}`;
    return [key.replace(/^\./u, ""), `*${key}`, `*.*${key}`];
  },
);

const STANDARD_OUTPUT = 1;

/** Settings of {@link createLogger}. */
export interface LoggerOptions {
  format: LogFormat;
  level: LogLevel;
  /** Where lines go; standard output unless given. */
  destination?: Writable;
}

/** Makes the logger of one relay. */
export function createLogger(options: LoggerOptions): Logger {
  const base = {
    level: options.level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string): object => ({ level: label }) },
    redact: { paths: SECRET_PATHS, censor: "[redacted]" },
  };
  const destination = options.destination ?? new LogWriter(STANDARD_OUTPUT);
  const isColoured =
    options.destination === undefined && process.stdout.isTTY === true && process.env["NO_COLOR"] === undefined;
  return pino(base, options.format === "term" ? createPretty(destination, isColoured) : destination);
}

function createPretty(destination: Writable, colorize: boolean): DestinationStream {
  return pretty({
    colorize,
    ignore: "event",
    messageFormat: (log, key) => escapeControls(String(log[key] ?? log["event"] ?? "")),
    translateTime: "SYS:HH:MM:ss.l",
    singleLine: true,
    destination,
  });
}

/** Writes one event: `event` comes first among the fields, the text is for people. */
export function logEvent(logger: Logger, event: LogEvent, fields: Record<string, unknown>, text?: string): void {
  logger.info({ event, ...fields }, text ?? event);
}

/** The first line, at any level but `silent`: scripts wait for it, and learn the port from it when it was 0. */
export function logListening(logger: Logger, fields: { url: string; port: number }): void {
  const isHidden = logger.level !== "silent" && !logger.isLevelEnabled("info");
  logEvent(
    isHidden ? logger.child({}, { level: "info" }) : logger,
    "relay.listening",
    fields,
    `listening at ${fields.url}`,
  );
}
