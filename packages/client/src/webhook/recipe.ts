import { getField, isToken } from "@ggrok/protocol";
import { parseDuration } from "../config/values.ts";
import { judgeAge, parseSeconds, TOLERANCE_S } from "./clock.ts";
import { hmac, isDigest } from "./digest.ts";
import { invalid, MISMATCH, type Scheme, type SignedMessage, VALID } from "./signed-message.ts";

interface Recipe {
  readonly header: string;
  readonly algorithm: "sha1" | "sha256" | "sha384" | "sha512";
  readonly encoding: "hex" | "base64";
  readonly prefix: string;
  /** What is signed, with `{body}`, `{timestamp}` and `{header:NAME}` in it. */
  readonly payload: string;
  readonly timestamp: string | undefined;
  readonly toleranceS: number;
}

const ALGORITHMS = ["sha1", "sha256", "sha384", "sha512"] as const;
const ENCODINGS = ["hex", "base64"] as const;
const KEYS = ["header", "algorithm", "encoding", "prefix", "payload", "timestamp", "tolerance"];

/**
 * Reads the recipe of a provider that has no name here:
 * `header=X-Signature,algorithm=sha256,encoding=hex,prefix=v1=,payload={timestamp}.{body},timestamp=X-Timestamp,tolerance=5m`.
 * Only `header` is needed; the others are as shown in {@link Recipe}'s defaults: SHA-256, hex, no prefix, the body alone.
 *
 * @throws Error with a sentence for the user
 */
export function parseRecipe(text: string): Scheme {
  const parts = new Map<string, string>();
  for (const item of text.split(",")) {
    const at = item.indexOf("=");
    const key = item.slice(0, at).trim();
    if (at === -1 || !KEYS.includes(key))
      throw new Error(`"${item}" is no part of a recipe: there are ${KEYS.join(", ")}`);
    parts.set(key, item.slice(at + 1).trim());
  }
  const header = parts.get("header") ?? "";
  if (!isToken(header)) throw new Error("the recipe needs header=NAME: the field with the signature");
  const timestamp = parts.get("timestamp");
  if (timestamp !== undefined && !isToken(timestamp)) throw new Error(`timestamp=${timestamp} is no field's name`);
  const payload = parts.get("payload") ?? (timestamp === undefined ? "{body}" : "{timestamp}.{body}");
  const unknown = payload.replaceAll(PLACE, "").match(/\{[^}]*\}?/)?.[0];
  if (unknown !== undefined) throw new Error(`${unknown} is no place: there are {body}, {timestamp} and {header:NAME}`);
  if (!payload.includes("{body}")) throw new Error("the payload has no {body}: the signature would not cover it");
  if (timestamp === undefined && payload.includes("{timestamp}")) throw new Error("{timestamp} needs timestamp=NAME");
  if (timestamp !== undefined && !payload.includes("{timestamp}"))
    throw new Error("the payload has no {timestamp}: anyone could change it");
  const tolerance = parts.get("tolerance");
  return createScheme({
    header,
    algorithm: oneOf("algorithm", parts.get("algorithm") ?? "sha256", ALGORITHMS),
    encoding: oneOf("encoding", parts.get("encoding") ?? "hex", ENCODINGS),
    prefix: parts.get("prefix") ?? "",
    payload,
    timestamp,
    toleranceS: tolerance === undefined ? TOLERANCE_S : parseDuration(tolerance) / 1_000,
  });
}

const PLACE = /\{(?:body|timestamp|header:[^{}]+)\}/g;

function createScheme(recipe: Recipe): Scheme {
  const { header, algorithm, encoding, prefix, timestamp, toleranceS } = recipe;
  const digestOf = (message: SignedMessage, time: string, secret: string): Buffer =>
    hmac(algorithm, secret, ...payloadOf(recipe, message, time));
  return {
    signatureFields: [header.toLowerCase()],
    verify(message, secret) {
      const signature = getField(message.fields, header.toLowerCase())?.trim() ?? "";
      if (!signature.startsWith(prefix)) return invalid(`${header} does not begin with ${prefix}`);
      const time = timestamp === undefined ? "" : (getField(message.fields, timestamp.toLowerCase()) ?? "");
      const seconds = readTime(time);
      if (timestamp !== undefined && seconds === undefined) return invalid(`there is no time in ${timestamp}`);
      if (!isDigest(signature.slice(prefix.length), digestOf(message, time, secret), encoding)) return MISMATCH;
      return seconds === undefined ? VALID : (judgeAge(seconds, message.nowMs, { toleranceS }) ?? VALID);
    },
    sign(message, secret) {
      const before = timestamp === undefined ? undefined : getField(message.fields, timestamp.toLowerCase());
      const isInMs = before !== undefined && before.length >= 13;
      const time = String(isInMs ? message.nowMs : Math.floor(message.nowMs / 1_000));
      return [
        ...(timestamp === undefined ? [] : [[timestamp, time] as const]),
        [header, prefix + digestOf(message, time, secret).toString(encoding)] as const,
      ];
    },
  };
}

function payloadOf({ payload }: Recipe, { fields, body }: SignedMessage, time: string): (string | Buffer)[] {
  return payload.split(/(\{[^}]*\})/).map((part) => {
    if (part === "{body}") return body;
    if (part === "{timestamp}") return time;
    if (!part.startsWith("{header:")) return part;
    return Buffer.from(getField(fields, part.slice("{header:".length, -1).toLowerCase()) ?? "", "latin1");
  });
}

/** Seconds, or milliseconds of 13 digits, or a date. */
function readTime(text: string): number | undefined {
  if (/^\d{13}$/.test(text)) return Math.floor(Number(text) / 1_000);
  const seconds = parseSeconds(text);
  if (seconds !== undefined) return seconds;
  const ms = /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(ms) ? undefined : Math.floor(ms / 1_000);
}

function oneOf<T extends string>(key: string, value: string, known: readonly T[]): T {
  const found = known.find((name) => name === value.toLowerCase());
  if (found === undefined) throw new Error(`${key}=${value}: there are ${known.join(", ")}`);
  return found;
}
