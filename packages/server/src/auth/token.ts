import { createHash, timingSafeEqual } from "node:crypto";
import type { Secret } from "../observability/secret.ts";

/** SHA-256 of a token: equal lengths make the comparison constant in time. */
function digestToken(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

/** A set of tokens that is searched in the same time whatever is asked. */
export class TokenSet {
  readonly #digests: readonly Buffer[];

  constructor(tokens: readonly Secret[]) {
    this.#digests = tokens.map((token) => digestToken(token.reveal()));
  }

  get size(): number {
    return this.#digests.length;
  }

  /** A name for the token that may be logged; undefined when the token is none of these. */
  identify(token: string): string | undefined {
    const digest = digestToken(token);
    let found: string | undefined;
    // No early end: the time must not tell which token came close.
    for (const known of this.#digests) if (timingSafeEqual(known, digest)) found = known.toString("hex", 0, 8);
    return found;
  }
}
