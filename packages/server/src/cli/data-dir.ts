import { statSync } from "node:fs";
import {
  type ReservationView,
  reservationWishSchema,
  type TokenView,
  tokenWishSchema,
  viewReservation,
  viewToken,
} from "../admin/views.ts";
import { findTokenRecord, inviteLink, issueToken, ownerOf } from "../auth/issue.ts";
import type { NameRules } from "../registry/names.ts";
import { parsePlaceKey } from "../registry/place-key.ts";
import { grantSchema } from "../store/grant.ts";
import { SqliteStore } from "../store/sqlite.ts";
import { type MadeToken, type NewReservation, type NewToken, type Operator, OperatorError } from "./operator.ts";

/** Who a process is, as far as files are concerned. */
export interface Identity {
  getuid?(): number;
  setgid?(id: number): void;
  setuid?(id: number): void;
}

/**
 * Root on the directory of another user becomes that user: files that root makes beside the database would lock the relay
 * out of it.
 */
export function becomeOwner(owner: { uid: number; gid: number } | undefined, identity: Identity): void {
  if (owner === undefined || owner.uid === 0 || identity.getuid?.() !== 0) return;
  identity.setgid?.(owner.gid);
  identity.setuid?.(owner.uid);
}

/** Works on the database of a data directory; a relay that has it open notices within a second. */
export class DataDirOperator implements Operator {
  readonly #store: SqliteStore;
  readonly #names: NameRules;
  readonly #origin: string | undefined;

  /** @param origin the relay's own, when it is known, for invite links */
  constructor(dataDir: string, names: NameRules, origin: string | undefined) {
    try {
      becomeOwner(statSync(dataDir, { throwIfNoEntry: false }), process as Identity);
      this.#store = new SqliteStore(dataDir);
    } catch (error) {
      throw new OperatorError(error instanceof Error ? error.message : String(error), 3);
    }
    this.#names = names;
    this.#origin = origin;
  }

  async createToken(wish: NewToken): Promise<MadeToken> {
    const { name, expiresInS, ...rights } = read(tokenWishSchema, wish);
    const now = Date.now();
    const expiresAt = expiresInS === undefined ? undefined : now + expiresInS * 1_000;
    const issued = issueToken(this.#store, { name, grant: grantSchema.parse(rights), expiresAt, now });
    if (issued === undefined) throw new OperatorError(`there is a token with the name ${name}`);
    const invite = this.#origin === undefined ? {} : { invite: inviteLink(this.#origin, issued.token) };
    return { ...viewToken(issued.record), secret: issued.token, ...invite };
  }

  async listTokens(): Promise<readonly TokenView[]> {
    return this.#store.tokens().map(viewToken);
  }

  async revokeToken(nameOrId: string): Promise<TokenView> {
    const record = findTokenRecord(this.#store, nameOrId);
    if (record === undefined || !this.#store.removeToken(record.id))
      throw new OperatorError(`there is no token "${nameOrId}"`);
    return viewToken(record);
  }

  async listReservations(): Promise<readonly ReservationView[]> {
    const tokens = this.#store.tokens();
    return this.#store.reservations(Date.now()).map((found) => viewReservation(found, tokens));
  }

  async reserve(wish: NewReservation): Promise<ReservationView> {
    const { name, token, expiresInS, force } = read(reservationWishSchema, wish);
    const place = this.#placeOf(name);
    const owner = ownerOf(this.#store, token);
    if (owner === undefined) throw new OperatorError(`there is no token "${token}"`);
    const now = Date.now();
    const expiresAt = expiresInS === undefined ? undefined : now + expiresInS * 1_000;
    const found = this.#store.reserve({ place, owner, source: "operator", now, expiresAt, isForced: force });
    if (found.owner !== owner)
      throw new OperatorError(`${place} is reserved for ${found.owner}; --force takes it from there`);
    return viewReservation(found, this.#store.tokens());
  }

  async release(name: string): Promise<void> {
    const place = this.#placeOf(name);
    if (!this.#store.release(place)) throw new OperatorError(`${place} is not reserved`);
  }

  close(): void {
    this.#store.close();
  }

  #placeOf(name: string): string {
    const place = parsePlaceKey(name, this.#names);
    if (place === undefined) throw new OperatorError(`"${name}" cannot be reserved here`, 2);
    return place;
  }
}

interface Schema<T> {
  safeParse(
    value: unknown,
  ):
    | { success: true; data: T }
    | { success: false; error: { issues: readonly { path: PropertyKey[]; message: string }[] } };
}

function read<T>(schema: Schema<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => `${String(path[0] ?? "it")} ${message}`);
  throw new OperatorError(problems.join("; "), 2);
}
