import type { Grant } from "../store/grant.ts";
import type { Store, TokenRecord } from "../store/store.ts";
import { digestToken, makeToken, tokenId } from "./token.ts";

/** A token to be made. */
export interface TokenWish {
  readonly name: string;
  readonly grant: Grant;
  /** Undefined: it does not expire. */
  readonly expiresAt: number | undefined;
  readonly now: number;
}

/** A token that was just made. It is shown once: only its digest is kept. */
export interface IssuedToken {
  readonly token: string;
  readonly record: TokenRecord;
}

/** Makes a token; undefined when the name is in use. */
export function issueToken(store: Store, wish: TokenWish): IssuedToken | undefined {
  const { name, grant, expiresAt, now } = wish;
  const token = makeToken();
  const digest = digestToken(token);
  const record = { id: tokenId(digest), name, digest, grant, createdAt: now, expiresAt, lastUsedAt: undefined };
  return store.addToken(record) ? { token, record } : undefined;
}

/** The token of a name or an id. */
export function findTokenRecord(store: Store, nameOrId: string): TokenRecord | undefined {
  const tokens = store.tokens();
  return tokens.find(({ name }) => name === nameOrId) ?? tokens.find(({ id }) => id === nameOrId);
}

/** Owner of names for a token's name or id, or for an owner as lists show it; undefined when there is no such token. */
export function ownerOf(store: Store, text: string): string | undefined {
  if (/^token:[0-9a-f]{16}$/u.test(text)) return text;
  const record = findTokenRecord(store, text);
  return record === undefined ? undefined : `token:${record.id}`;
}

/** The link with which `ggrok login` takes a token. */
export function inviteLink(relayOrigin: string, token: string): string {
  return `${relayOrigin}/#${token}`;
}
