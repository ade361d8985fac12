import type { Secret } from "../observability/secret.ts";
import { FULL_GRANT, type Grant } from "../store/grant.ts";
import { hasRunOut, type Store, type TokenRecord } from "../store/store.ts";
import { Principal } from "./principal.ts";
import { digestToken, findByToken, tokenId } from "./token.ts";

/** A token the relay knows. */
interface KnownToken {
  readonly digest: Buffer;
  readonly principal: Principal;
  /** Undefined for a token of the configuration. */
  readonly record: TokenRecord | undefined;
}

/** What {@link TokenBook} is made of. */
export interface TokenBookOptions {
  readonly tokens: readonly Secret[];
  readonly adminToken: Secret | undefined;
  readonly store: Store;
  /** Wall clock: tokens expire by it. */
  readonly now: () => number;
}

/** Every token of the relay: those of its configuration and those of the store, as the store was at the last look. */
export class TokenBook {
  readonly #configured: readonly KnownToken[];
  readonly #store: Store;
  readonly #now: () => number;
  readonly #listeners = new Set<(principal: Principal) => void>();
  readonly #uses = new Map<string, number>();
  #stored: ReadonlyMap<string, KnownToken> = new Map();
  #revision: number | undefined;
  #hadAgentTokens = false;

  constructor(options: TokenBookOptions) {
    this.#store = options.store;
    this.#now = options.now;
    this.#configured = [
      ...options.tokens.map((token) => configured(token, "GGROK_TOKEN", FULL_GRANT)),
      ...(options.adminToken === undefined
        ? []
        : [configured(options.adminToken, "GGROK_ADMIN_TOKEN", { ...FULL_GRANT, scopes: ["admin"] })]),
    ];
    this.refresh();
  }

  /** Whether agents need a token here. It stays so when the last one is revoked or expires: that opens no door. */
  get hasAgentTokens(): boolean {
    this.#hadAgentTokens ||= this.#all().some(
      ({ principal, record }) =>
        record?.grant.scopes.some((scope) => scope !== "admin") ?? (principal.may("bind") || principal.may("connect")),
    );
    return this.#hadAgentTokens;
  }

  /** Whether anybody may administer. */
  get hasAdminTokens(): boolean {
    return this.#all().some(({ principal }) => principal.may("admin"));
  }

  /** Tokens of the store. */
  get storedCount(): number {
    return this.#stored.size;
  }

  /** Whom a token stands for; undefined when it is unknown, revoked or expired. */
  find(token: string): Principal | undefined {
    const found = findByToken(this.#all(), token) ?? this.#findNew(token);
    if (found === undefined) return undefined;
    const { record, principal } = found;
    if (record !== undefined && hasRunOut(record, this.#now())) return undefined;
    if (record !== undefined) this.#uses.set(record.id, this.#now());
    return principal;
  }

  /** Calls back for each principal whose token was revoked or has expired; it may do nothing from then on. */
  onRevoked(listener: (principal: Principal) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Takes over what the store says now. Call it after changes and often enough to notice those of others. */
  refresh(): void {
    const revision = this.#store.revision();
    if (revision !== this.#revision) this.#read();
    this.#revision = revision;
    for (const known of this.#stored.values())
      if (known.record !== undefined && hasRunOut(known.record, this.#now())) this.#revoke(known.principal);
  }

  /** The same although the store's revision is the same: this process has written itself. */
  reload(): void {
    this.#revision = undefined;
    this.refresh();
  }

  /** Writes down when tokens were used. */
  flushUses(): void {
    const uses = new Map(this.#uses);
    this.#uses.clear();
    this.#store.touchTokens(uses);
  }

  /** A token that an operator's command has made since the last look. */
  #findNew(token: string): KnownToken | undefined {
    const revision = this.#revision;
    try {
      this.refresh();
    } catch {
      // The regular look meets the same failure and logs it.
      return undefined;
    }
    return this.#revision === revision ? undefined : findByToken(this.#all(), token);
  }

  #read(): void {
    const before = this.#stored;
    const after = new Map<string, KnownToken>();
    for (const record of this.#store.tokens()) {
      const known = before.get(record.id);
      const isSame = known?.digest.equals(record.digest) === true;
      // A principal lives on: sessions have it. A record never changes but for its last use.
      const principal = isSame ? known.principal : new Principal(`token:${record.id}`, record.name, record.grant);
      after.set(record.id, { digest: record.digest, principal, record });
    }
    this.#stored = after;
    this.#hadAgentTokens = this.hasAgentTokens;
    for (const { principal } of before.values())
      if (after.get(principal.id.slice("token:".length))?.principal !== principal) this.#revoke(principal);
  }

  #revoke(principal: Principal): void {
    if (!principal.revoke()) return;
    for (const listener of this.#listeners) listener(principal);
  }

  #all(): readonly KnownToken[] {
    return [...this.#configured, ...this.#stored.values()];
  }
}

function configured(token: Secret, label: string, grant: Grant): KnownToken {
  const digest = digestToken(token.reveal());
  return { digest, principal: new Principal(`token:${tokenId(digest)}`, label, grant), record: undefined };
}
