import type { HeaderList } from "@ggrok/protocol";

/** A request whose signature is judged. */
export interface SignedMessage {
  /** Addresses under which the sender may know the endpoint: only Twilio signs one. */
  readonly urls: readonly string[];
  readonly fields: HeaderList;
  /** The bytes as they came. */
  readonly body: Buffer;
  /** Epoch milliseconds at which it came. */
  readonly nowMs: number;
}

/** What a signature says. `unknown`: there is none, or it cannot be checked. */
export interface Verdict {
  readonly provider: string;
  readonly verdict: "valid" | "invalid" | "skew" | "unknown";
  /** One sentence for people. */
  readonly reason: string;
}

/** What a provider's own rules come to. */
export type Finding = Omit<Verdict, "provider">;

/** How one provider signs. */
export interface Scheme {
  /** The field that carries the signature, in lower case; the first that is there counts. */
  readonly signatureFields: readonly string[];
  /** Judges a message that carries such a field. */
  verify(message: SignedMessage, secret: string): Finding;
  /** The fields of a new signature, to be set in the message. */
  sign(message: SignedMessage, secret: string): readonly (readonly [name: string, value: string])[];
  /** Refuses a secret that cannot be one. @throws Error */
  checkSecret?(secret: string): void;
}

/** A finding that needs no more words. */
export const VALID: Finding = { verdict: "valid", reason: "the signature matches" };

/** What a signature that does not match most often means. */
export const MISMATCH: Finding = {
  verdict: "invalid",
  reason: "the signature does not match: another secret, or the body was changed on the way",
};

/** A finding with its reason. */
export function invalid(reason: string): Finding {
  return { verdict: "invalid", reason };
}
