import { createHash, timingSafeEqual } from "node:crypto";

/** Who may use the proxy; kept as hashes, so that comparing takes the same time whatever is sent. */
export class Credentials {
  readonly #hashes: readonly Buffer[];

  /** @param pairs `user:password` each; none: everyone may */
  constructor(pairs: readonly string[]) {
    this.#hashes = pairs.map(hash);
  }

  get isRequired(): boolean {
    return this.#hashes.length > 0;
  }

  /** Whether user and password are one of the pairs. */
  accept(username: string, password: string): boolean {
    // A user name with a colon could move the border between the two.
    if (username.includes(":")) return false;
    const given = hash(`${username}:${password}`);
    let isKnown = false;
    for (const known of this.#hashes) if (timingSafeEqual(known, given)) isKnown = true;
    return isKnown || !this.isRequired;
  }

  /** Judges a `Proxy-Authorization` field; a missing one is accepted only where nothing is required. */
  acceptField(value: string | undefined): boolean {
    if (!this.isRequired) return true;
    const encoded = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i.exec(value ?? "")?.[1];
    if (encoded === undefined) return false;
    const text = Buffer.from(encoded, "base64").toString("utf8");
    const colon = text.indexOf(":");
    return colon >= 0 && this.accept(text.slice(0, colon), text.slice(colon + 1));
  }
}

function hash(text: string): Buffer {
  return createHash("sha256").update(text, "utf8").digest();
}
