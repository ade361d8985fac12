import type { Kind } from "../store/grant.ts";

/** A place somebody wants to publish at, as rights see it. */
export interface RightsQuestion {
  readonly kind: Kind;
  /** Every way to say the name: the bare name, the whole host. One match is enough. */
  readonly names: readonly string[];
  /** Path prefix, empty for the whole host; left out where there are no paths. */
  readonly path?: string;
  /** A public TCP port. */
  readonly port?: number;
}

/** What the registry asks of whoever binds. */
export interface BindRights {
  mayBind(question: RightsQuestion): boolean;
  /** The globs of names, for names of the relay's choice. */
  readonly nameGlobs: readonly string[];
  /** What may be bound, for the sentence that says why something was refused. */
  readonly summary: string;
}
