import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

/** 256 bits, docs/protocol.md "welcome". */
const SECRET_BYTES = 32;

/**
 * What a connection shows to continue a session. A new one is made for every welcome; since that welcome can be lost, the
 * secret the agent came with stays valid until a message has arrived under the new one.
 */
export class SessionSecret {
  // As text: an idle session would spend three times as much on a Buffer.
  #current: string;
  #shown: { digest: string; received: number } | undefined;

  /** @param first the secret of the session's first welcome */
  constructor(first: string) {
    this.#current = digest(first);
  }

  /**
   * Makes the secret of the next welcome.
   *
   * @param shown the secret the agent has just come with
   * @param received messages received on the session so far
   */
  rotate(shown: string, received: number): string {
    const secret = makeSecret();
    this.#shown = { digest: digest(shown), received };
    this.#current = digest(secret);
    return secret;
  }

  /** Whether a secret is valid, `received` messages into the session. */
  accepts(secret: string, received: number): boolean {
    const given = digest(secret);
    if (isEqual(this.#current, given)) return true;
    const shown = this.#shown;
    return shown !== undefined && shown.received === received && isEqual(shown.digest, given);
  }
}

/** A new secret, 256 random bits in base64url. */
export function makeSecret(): string {
  return randomBytes(SECRET_BYTES).toString("base64url");
}

function digest(secret: string): string {
  return createHash("sha256").update(secret).digest("base64url");
}

function isEqual(a: string, b: string): boolean {
  return timingSafeEqual(Buffer.from(a), Buffer.from(b));
}
