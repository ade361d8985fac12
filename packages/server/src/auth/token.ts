import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

/** 256 bits: nobody guesses one, so one round of SHA-256 is enough at rest. */
const TOKEN_BYTES = 32;

/** A new token. Its beginning is for people and secret scanners. */
export function makeToken(): string {
  return `ggrok_${randomBytes(TOKEN_BYTES).toString("base64url")}`;
}

/** SHA-256 of a token: equal lengths make the comparison constant in time. */
export function digestToken(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

/** A name for a token that may be logged and stored. */
export function tokenId(digest: Buffer): string {
  return digest.toString("hex", 0, 8);
}

/**
 * The entry whose token this is. No early end: the time must not tell which token came close, nor how many there are
 * before it.
 */
export function findByToken<T extends { readonly digest: Buffer }>(entries: Iterable<T>, token: string): T | undefined {
  const digest = digestToken(token);
  let found: T | undefined;
  for (const entry of entries) if (timingSafeEqual(entry.digest, digest)) found = entry;
  return found;
}
