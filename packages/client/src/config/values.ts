import { readFileSync } from "node:fs";
import { GgrokError } from "@ggrok/protocol";

const DURATION_UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
const SIZE_UNITS: Readonly<Record<string, number>> = { B: 1, KiB: 1_024, MiB: 1_048_576, GiB: 1_073_741_824 };

/** Builds the error every wrong setting ends in: exit code 3 where it is a file or the environment, 2 where it is a flag. */
export function configError(message: string, cause?: unknown): GgrokError {
  return new GgrokError("ERR_GGROK_CONFIG_INVALID", { message, ...(cause !== undefined && { cause }) });
}

/** Parses `500ms`, `30s`, `10m`, `2h` into milliseconds; throws CONFIG_INVALID on anything else. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text.trim());
  const unit = DURATION_UNITS_MS[match?.[2] ?? ""];
  if (match?.[1] === undefined || unit === undefined) {
    throw configError(`"${text}" is not a duration: write 500ms, 30s or 10m`);
  }
  return Math.round(Number(match[1]) * unit);
}

/** Parses `64KiB`, `100MiB`, `1GiB` into bytes; throws CONFIG_INVALID on anything else. */
export function parseSize(text: string): number {
  const match = /^(\d+)(B|KiB|MiB|GiB)$/.exec(text.trim());
  const unit = SIZE_UNITS[match?.[2] ?? ""];
  if (match?.[1] === undefined || unit === undefined)
    throw configError(`"${text}" is not a size: write 64KiB, 100MiB or 1GiB`);
  return Number(match[1]) * unit;
}

/** Parses `true` or `false`, the way the flags of ngrok's agent take them. */
export function parseBoolean(text: string): boolean {
  if (text === "true" || text === "1") return true;
  if (text === "false" || text === "0") return false;
  throw configError(`"${text}" is neither true nor false`);
}

/** Resolves a token as {@link readSecret} does, and refuses what no token can be. */
export function resolveSecret(text: string, env: NodeJS.ProcessEnv): string {
  return checkToken(readSecret(text, env));
}

/**
 * Reads a secret: `env:NAME` from the environment, `file:PATH` from a file (one trailing line end removed), anything else is
 * the secret itself.
 */
export function readSecret(text: string, env: NodeJS.ProcessEnv): string {
  if (text.startsWith("env:")) {
    const value = env[text.slice(4)];
    if (value === undefined || value === "") throw configError(`the environment variable ${text.slice(4)} is not set`);
    return value;
  }
  if (!text.startsWith("file:")) return text;
  try {
    return readFileSync(text.slice(5), "utf8").replace(/\r?\n$/, "");
  } catch (cause) {
    throw configError(`the secret's file ${text.slice(5)} cannot be read`, cause);
  }
}

/** A token travels in a header field: what could not stand there is refused before it is stored or sent. */
function checkToken(token: string): string {
  if (!/^[\x21-\x7e]+$/.test(token)) throw configError("the token is empty or has characters that no token has");
  return token;
}

/** A host and a port to listen on. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** Parses `127.0.0.1:4040`, `[::1]:4040`, `:4040` or `4040`; a missing host means loopback. */
export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:(?:\[([0-9a-fA-F:]+)\]|([^:[\]\s/]*)):)?(\d{1,5})$/.exec(text.trim());
  const port = Number(match?.[3]);
  if (match === null || port > 65_535)
    throw configError(`"${text}" is not an address to listen on: write 127.0.0.1:4040`);
  return { host: match[1] ?? (match[2] === "" ? undefined : match[2]) ?? "127.0.0.1", port };
}
