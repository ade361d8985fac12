import { createHash, randomBytes, scryptSync, timingSafeEqual } from "node:crypto";
import { RELAY_LIMITS } from "../limits.ts";
import { AddressBuckets } from "./address-buckets.ts";

/** How the agent hashes `user:password` (docs/protocol.md, section 5). */
const SCRYPT = { N: 2_048, r: 8, p: 1 } as const;
const HASH_BYTES = 32;

/** What an Authorization field is worth; `wait` says for how many milliseconds nothing more is tried for this visitor. */
export type LoginResult = "good" | "bad" | { readonly waitMs: number };

/**
 * Checks user names and passwords. Each new one costs some milliseconds on purpose, so what it came to is remembered, and
 * wrong ones are counted by address and over the whole tunnel.
 */
export class Login {
  readonly #salt: Buffer;
  readonly #hashes: readonly Buffer[];
  // Remembered by a hash with a key of this process: the memory of a relay holds no list of passwords.
  readonly #key = randomBytes(32);
  readonly #known = new Map<string, "good" | "bad">();
  readonly #failures: AddressBuckets;
  readonly #allFailures: AddressBuckets;

  constructor(credentials: { readonly salt: Buffer; readonly hashes: readonly Buffer[] }) {
    this.#salt = credentials.salt;
    this.#hashes = credentials.hashes;
    const { loginFailuresPerMinute, loginFailuresPerSecond, visitorAddresses } = RELAY_LIMITS;
    this.#failures = new AddressBuckets(
      { perSecond: loginFailuresPerMinute / 60, burst: loginFailuresPerMinute },
      visitorAddresses,
    );
    this.#allFailures = new AddressBuckets({ perSecond: loginFailuresPerSecond, burst: loginFailuresPerSecond }, 1);
  }

  /** @param value of the one Authorization field */
  check(value: string, client: string, nowMs: number): LoginResult {
    const credentials = readCredentials(value);
    if (credentials === undefined) return "bad";
    const digest = createHash("sha256").update(this.#key).update(credentials).digest("base64");
    const known = this.#known.get(digest);
    if (known !== undefined) return known;
    const waitMs = this.#failures.look(client, nowMs) ?? this.#allFailures.look(ALL, nowMs);
    if (waitMs !== undefined) return { waitMs };
    const hash = scryptSync(credentials, this.#salt, HASH_BYTES, SCRYPT);
    let isGood = false;
    // All of them, so that the time says nothing about which user it was.
    for (const expected of this.#hashes) if (timingSafeEqual(hash, expected)) isGood = true;
    this.#remember(digest, isGood ? "good" : "bad");
    if (isGood) return "good";
    this.#failures.take(client, nowMs);
    this.#allFailures.take(ALL, nowMs);
    return "bad";
  }

  /** Wrong ones too: a webhook sender that shows the app's own password at an open path costs one hash, not one each. */
  #remember(digest: string, result: "good" | "bad"): void {
    const oldest = this.#known.keys().next().value;
    if (this.#known.size >= RELAY_LIMITS.knownLogins && oldest !== undefined) this.#known.delete(oldest);
    this.#known.set(digest, result);
  }
}

const ALL = "all";
const BASIC = /^basic +([A-Za-z0-9+/]+={0,2}) *$/iu;

/** The bytes of `user:password` in a Basic field (RFC 7617); undefined for anything else. */
function readCredentials(value: string): Buffer | undefined {
  const encoded = value.length > 2_048 ? undefined : BASIC.exec(value)?.[1];
  if (encoded === undefined) return undefined;
  const bytes = Buffer.from(encoded, "base64");
  return bytes.includes(0x3a) ? bytes : undefined;
}
