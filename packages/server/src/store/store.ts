/** What a token may do: publish through the relay, reach its TCP tunnels, administer it. */
export const SCOPES = ["bind", "connect", "admin"] as const;
export type Scope = (typeof SCOPES)[number];

/** Kinds of tunnels a token may bind. */
export const KINDS = ["http", "tcp"] as const;
export type Kind = (typeof KINDS)[number];

/** The rights of a token. */
export interface Grant {
  readonly scopes: readonly Scope[];
  /** Globs. One without a dot is about names below the relay's domain, one with a dot about whole hosts. */
  readonly names: readonly string[];
  /** Globs over path prefixes; the whole host is `/`. */
  readonly paths: readonly string[];
  readonly kinds: readonly Kind[];
  /** Ranges of public TCP ports, both ends included. */
  readonly ports: readonly (readonly [number, number])[];
}

/** Everything below the relay's domain. Hosts outside it need a glob that names them. */
export const FULL_GRANT: Grant = {
  scopes: ["bind", "connect"],
  names: ["*"],
  paths: ["/**"],
  kinds: KINDS,
  ports: [[1, 65_535]],
};
