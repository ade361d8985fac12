import { isLoopback } from "../config/values.ts";
import type { Principal } from "./principal.ts";
import type { TokenBook } from "./token-book.ts";

/** What a registration shows of itself. */
export interface Credentials {
  /** Raw field names and values, alternating. */
  readonly rawHeaders: readonly string[];
  /** Address of the TCP peer. */
  readonly remoteAddress: string | undefined;
}

/** `principal` is undefined for an agent without a token: its agent id will be its identity. */
export type AuthOutcome =
  | { readonly isAllowed: true; readonly principal: Principal | undefined }
  | { readonly isAllowed: false; readonly message: string };

/** Settings of {@link Authenticator}; a relay configuration has most of them. */
export interface AuthenticatorOptions {
  readonly tokens: TokenBook;
  readonly allowAnonymous: boolean;
}

// Fields by which front ends say that somebody else is speaking through them.
const FORWARDING =
  /^(?:forwarded|via|x-forwarded-.*|x-real-ip|x-client-ip|x-cluster-client-ip|true-client-ip|cf-connecting-ip|fly-client-ip|x-original-.*)$/iu;
const BEARER = /^bearer +([\u0021-\u007e]+) *$/iu;

/** Decides who may come in. One place counts for identity and rights: the one Authorization field. */
export class Authenticator {
  readonly #tokens: TokenBook;
  readonly #allowAnonymous: boolean;

  constructor(options: AuthenticatorOptions) {
    this.#tokens = options.tokens;
    this.#allowAnonymous = options.allowAnonymous;
  }

  /** Whom a token stands for; undefined when the relay does not know it. */
  authenticate(token: string): Principal | undefined {
    return this.#tokens.find(token);
  }

  /** Decides whether an agent or a connector may upgrade its connection. */
  admit(credentials: Credentials): AuthOutcome {
    const fields = fieldsNamed(credentials.rawHeaders, "authorization");
    const token = bearerOf(fields);
    // Looked up first: it may be the store's first one, made a moment ago, after which agents need one.
    const principal = token === undefined ? undefined : this.authenticate(token);
    if (!this.#tokens.hasAgentTokens)
      return this.#allowAnonymous ? { isAllowed: true, principal: undefined } : admitLocal(credentials);
    if (fields.length === 0) {
      return this.#allowAnonymous
        ? { isAllowed: true, principal: undefined }
        : refuse("this relay takes agents with a token only");
    }
    if (token === undefined) return refuse("the token must come in exactly one field: Authorization: Bearer TOKEN");
    if (principal === undefined) return refuse("this relay does not know the token");
    return principal.may("bind") || principal.may("connect")
      ? { isAllowed: true, principal }
      : refuse("this token may neither bind nor connect");
  }

  /** Whether this is a program of the relay's own machine, at a relay that has no token to tell others by. */
  isOwnMachine(credentials: Credentials): boolean {
    return !this.#tokens.hasAgentTokens && admitLocal(credentials).isAllowed;
  }

  /** Whether anybody may administer; without such a token the paths for it do not exist. */
  get hasAdmin(): boolean {
    return this.#tokens.hasAdminTokens;
  }

  isAdmin(rawHeaders: readonly string[]): boolean {
    const token = bearerOf(fieldsNamed(rawHeaders, "authorization"));
    return token !== undefined && this.authenticate(token)?.may("admin") === true;
  }
}

function bearerOf(fields: readonly string[]): string | undefined {
  return fields.length === 1 ? BEARER.exec(fields[0] ?? "")?.[1] : undefined;
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
