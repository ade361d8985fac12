import type { Grant } from "./grant.ts";

/** A token as it is kept: its digest, never itself. Times are milliseconds of the wall clock. */
export interface TokenRecord {
  /** From the digest; may be logged. */
  readonly id: string;
  /** What the operator calls it; unique. */
  readonly name: string;
  /** SHA-256 of the token. */
  readonly digest: Buffer;
  readonly grant: Grant;
  readonly createdAt: number;
  /** Undefined: it does not expire. */
  readonly expiresAt: number | undefined;
  readonly lastUsedAt: number | undefined;
}

/** Why a name is reserved: by the operator, because an owner asked for it, or because the relay gave it out. */
export type ReservationSource = "operator" | "claimed" | "generated";

/** A place that belongs to one owner whether its agent is there or not. */
export interface Reservation {
  /** As `placeKey` writes it: a name, a host, or a host with a path prefix. */
  readonly place: string;
  /** Id of a principal. */
  readonly owner: string;
  readonly source: ReservationSource;
  readonly createdAt: number;
  readonly lastUsedAt: number;
  /** Undefined: until the operator takes it back. */
  readonly expiresAt: number | undefined;
}

/** A wish for a place. */
export interface ReservationWish {
  readonly place: string;
  readonly owner: string;
  readonly source: ReservationSource;
  readonly now: number;
  readonly expiresAt: number | undefined;
  /** Takes the place from another owner: the operator's right. */
  readonly isForced?: boolean;
}

/**
 * What the relay remembers beyond its sessions. Every call is atomic, across processes where the store is shared, and
 * what it returned from is kept: in a durable store a crash right after it loses nothing.
 */
export interface Store {
  /** Survives this process. */
  readonly isDurable: boolean;
  /** Another number whenever somebody else has written. */
  revision(): number;

  tokens(): readonly TokenRecord[];
  /** False when the name or the token is there already. */
  addToken(record: TokenRecord): boolean;
  /** False when there is no such token. */
  removeToken(id: string): boolean;
  /** Notes when tokens were used, by id; unknown ids are left out. */
  touchTokens(uses: ReadonlyMap<string, number>): void;

  /** Reservations that last at `now`, by place. */
  reservations(now: number): readonly Reservation[];
  reservation(place: string, now: number): Reservation | undefined;
  /** Of one owner, or of all. */
  countReservations(now: number, owner?: string): number;
  /**
   * Reserves a place unless somebody else has it. An owner who has it already keeps it for longer, never for shorter,
   * except by the operator's word.
   *
   * @returns the reservation that stands afterwards: the wish was granted when its owner is the wish's
   */
  reserve(wish: ReservationWish): Reservation;
  /** Everything the action writes becomes durable at once, or nothing of it. */
  batch(action: () => void): void;
  /** False when the place was not reserved. */
  release(place: string): boolean;
  /** Forgets what has run out, and the oldest generated names above a number. @returns how many */
  prune(now: number, maxGenerated: number): number;

  close(): void;
}

/** What a wish makes of what is there. Pure, so that every store decides alike; undefined leaves the present as it is. */
export function decideReservation(present: Reservation | undefined, wish: ReservationWish): Reservation | undefined {
  const { place, owner, source, now, expiresAt } = wish;
  const isFree = present === undefined || hasRunOut(present, now);
  if (isFree || (present.owner !== owner && wish.isForced === true))
    return { place, owner, source, createdAt: now, lastUsedAt: now, expiresAt };
  if (present.owner !== owner) return undefined;
  if (source === "operator") return { ...present, source, expiresAt };
  const isUsedLater = now > present.lastUsedAt;
  const lastUsedAt = isUsedLater ? now : present.lastUsedAt;
  // What the operator said about the end is not the owner's to change.
  if (present.source === "operator") return { ...present, lastUsedAt };
  const isLonger = expiresAt === undefined || (present.expiresAt !== undefined && expiresAt > present.expiresAt);
  return {
    ...present,
    lastUsedAt,
    source: source === "claimed" ? "claimed" : present.source,
    expiresAt: isLonger ? expiresAt : present.expiresAt,
  };
}

/** Whether a reservation or token no longer counts. */
export function hasRunOut(record: { readonly expiresAt: number | undefined }, now: number): boolean {
  return record.expiresAt !== undefined && record.expiresAt <= now;
}
