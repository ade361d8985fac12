import { createHmac, scryptSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { configError } from "./values.ts";

/** Whom a tunnel of HTTP lets in. The relay keeps these rules before a request comes here. */
export interface VisitorPlan {
  /** Each `user:password`. */
  readonly basicAuth?: readonly string[];
  /** The app sees the Authorization field that let the visitor in. */
  readonly basicAuthPass?: boolean;
  readonly cidrAllow?: readonly string[];
  readonly cidrDeny?: readonly string[];
  readonly rateLimit?: RateLimit;
  /** Globs of paths that need no log-in. */
  readonly open?: readonly string[];
}

/** Requests of one address. */
export interface RateLimit {
  readonly perSecond: number;
  readonly burst: number;
}

/** The relay's side is `packages/server/src/gate/login.ts`; docs/protocol.md section 5 has the numbers. */
const SCRYPT = { N: 2_048, r: 8, p: 1 } as const;
const HASH_BYTES = 32;
const SALT_BYTES = 16;

/**
 * The rules as they go to the relay; undefined when there are none. Passwords leave as salted hashes. The salt comes from the
 * owner's secret, so that agents which share a name arrive at the same rules without asking each other.
 *
 * @param ownerSecret the token, or the agent's id where there is none
 */
export function visitorOptions(plan: VisitorPlan, ownerSecret: string): Readonly<Record<string, unknown>> | undefined {
  const { basicAuth = [], basicAuthPass, cidrAllow = [], cidrDeny = [], rateLimit, open = [] } = plan;
  const options = {
    ...(basicAuth.length > 0 && { basicAuth: hashUsers(basicAuth, ownerSecret) }),
    ...(basicAuthPass === true && { passAuthorization: true }),
    ...(cidrAllow.length > 0 && { cidrAllow }),
    ...(cidrDeny.length > 0 && { cidrDeny }),
    ...(rateLimit !== undefined && { rateLimit }),
    ...(open.length > 0 && { open }),
  };
  return Object.keys(options).length > 0 ? options : undefined;
}

function hashUsers(users: readonly string[], ownerSecret: string): { salt: string; hashes: string[] } {
  const salt = createHmac("sha256", ownerSecret).update("ggrok basic-auth").digest().subarray(0, SALT_BYTES);
  const hashes = users.map((user) => scryptSync(user, salt, HASH_BYTES, SCRYPT).toString("base64url"));
  return { salt: salt.toString("base64url"), hashes };
}

/**
 * The users of one `--basic-auth`: `user:password`, or with `env:NAME` and `file:PATH` one on each line of what stands there.
 */
export function parseUsers(text: string, env: NodeJS.ProcessEnv): string[] {
  const users = readSecretText(text, env)
    .split(/\r?\n/)
    .filter((line) => line !== "");
  if (users.length === 0) throw configError("--basic-auth is empty: write user:password");
  for (const user of users) {
    // RFC 7617 2: the first colon ends the name, control characters are none of either.
    if (!/^[^:\p{Cc}]+:[^\p{Cc}]+$/u.test(user))
      throw configError("--basic-auth takes user:password, both of them at least one character");
  }
  return users;
}

function readSecretText(text: string, env: NodeJS.ProcessEnv): string {
  if (text.startsWith("env:")) {
    const value = env[text.slice(4)];
    if (value === undefined || value === "") throw configError(`the environment variable ${text.slice(4)} is not set`);
    return value;
  }
  if (!text.startsWith("file:")) return text;
  try {
    return readFileSync(text.slice(5), "utf8");
  } catch (cause) {
    throw configError(`the file ${text.slice(5)} cannot be read`, cause);
  }
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600 };

/** `N/s`, `N/m` or `N/h`, and `:burst` behind it; without a burst so many at once as come in one unit. */
export function parseRateLimit(text: string): RateLimit {
  const [, count, unit, burst] = /^(\d{1,6})\/([smh])(?::(\d{1,6}))?$/.exec(text.trim()) ?? [];
  const seconds = UNIT_SECONDS[unit ?? ""];
  const requests = Number(count);
  if (seconds === undefined || requests === 0 || burst === "0")
    throw configError(`"${text}" is no rate: write 10/s, 100/m or 10/s:50`);
  return { perSecond: requests / seconds, burst: Number(burst ?? count) };
}

/** One address or network. */
export function parseCidr(text: string): string {
  const [address = "", bits, ...rest] = text.split("/");
  const family = isIP(address);
  const width = family === 4 ? 32 : 128;
  const isValid = bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= width);
  if (family === 0 || rest.length > 0 || !isValid)
    throw configError(`"${text}" is no address and no network such as 10.0.0.0/8`);
  return text;
}

/** A glob of paths: `*` stands for any characters of one segment, `**` for any at all. */
export function parsePathGlob(text: string): string {
  if (!/^\/[^\s?#]{0,511}$/.test(text)) throw configError(`"${text}" is no path such as /webhooks/*`);
  return text;
}
