import { createNetworkTest, isLoopback } from "../config/values.ts";
import type { Secret } from "../observability/secret.ts";
import { TokenSet } from "./token.ts";

/** What a registration shows of itself. */
export interface Credentials {
  /** Raw field names and values, alternating. */
  readonly rawHeaders: readonly string[];
  /** Address of the TCP peer. */
  readonly remoteAddress: string | undefined;
}

/** `principal` is undefined for an agent without a token: its agent id will be its identity. */
export type AuthOutcome =
  | { readonly isAllowed: true; readonly principal: string | undefined }
  | { readonly isAllowed: false; readonly message: string };

/** Settings of {@link Authenticator}; a relay configuration has them. */
export interface AuthenticatorOptions {
  tokens: readonly Secret[];
  adminToken: Secret | undefined;
  allowAnonymous: boolean;
  trustProxy: readonly string[];
}

// Fields by which front ends say that somebody else is speaking through them.
const FORWARDING =
  /^(?:forwarded|via|x-forwarded-.*|x-real-ip|x-client-ip|x-cluster-client-ip|true-client-ip|cf-connecting-ip|fly-client-ip|x-original-.*)$/iu;
const BEARER = /^bearer +([\u0021-\u007e]+) *$/iu;

/** Decides who may register. One place counts for identity and rights: the one Authorization field. */
export class Authenticator {
  /** Whether a peer's forwarding fields are believed. */
  readonly isTrustedPeer: (address: string | undefined) => boolean;
  readonly #tokens: TokenSet;
  readonly #admin: TokenSet;
  readonly #allowAnonymous: boolean;

  constructor(options: AuthenticatorOptions) {
    this.#tokens = new TokenSet(options.tokens);
    this.#admin = new TokenSet(options.adminToken === undefined ? [] : [options.adminToken]);
    this.#allowAnonymous = options.allowAnonymous;
    this.isTrustedPeer = createNetworkTest(options.trustProxy);
  }

  authenticate(credentials: Credentials): AuthOutcome {
    const fields = fieldsNamed(credentials.rawHeaders, "authorization");
    if (this.#tokens.size === 0)
      return this.#allowAnonymous ? { isAllowed: true, principal: undefined } : admitLocal(credentials);
    if (fields.length === 0) {
      return this.#allowAnonymous
        ? { isAllowed: true, principal: undefined }
        : refuse("this relay wants a token: Authorization: Bearer TOKEN");
    }
    const token = fields.length === 1 ? BEARER.exec(fields[0] ?? "")?.[1] : undefined;
    if (token === undefined) return refuse("the token must come in exactly one field: Authorization: Bearer TOKEN");
    const name = this.#tokens.identify(token);
    return name === undefined
      ? refuse("this relay does not know the token")
      : { isAllowed: true, principal: `token:${name}` };
  }

  /** True when an admin token is configured. */
  get hasAdmin(): boolean {
    return this.#admin.size > 0;
  }

  isAdmin(rawHeaders: readonly string[]): boolean {
    const fields = fieldsNamed(rawHeaders, "authorization");
    const token = fields.length === 1 ? BEARER.exec(fields[0] ?? "")?.[1] : undefined;
    return token !== undefined && this.#admin.identify(token) !== undefined;
  }
}

function admitLocal({ rawHeaders, remoteAddress }: Credentials): AuthOutcome {
  if (!isLoopback(remoteAddress))
    return refuse("this relay has no token, so it takes agents from its own machine only");
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (FORWARDING.test(rawHeaders[i] ?? "")) {
      return refuse("this relay has no token, so it takes no agents through a front end; configure one with --token");
    }
  }
  return { isAllowed: true, principal: undefined };
}

function refuse(message: string): AuthOutcome {
  return { isAllowed: false, message };
}

/** All values of a field, by its lower-case name. */
export function fieldsNamed(rawHeaders: readonly string[], lowerName: string): string[] {
  const values: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() === lowerName) values.push(rawHeaders[i + 1] ?? "");
  }
  return values;
}
