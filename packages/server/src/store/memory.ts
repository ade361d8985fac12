import {
  decideReservation,
  hasRunOut,
  type Reservation,
  type ReservationWish,
  type Store,
  type TokenRecord,
} from "./store.ts";

/** Remembers as long as the process lives. */
export class MemoryStore implements Store {
  readonly isDurable: boolean = false;
  readonly #tokens = new Map<string, TokenRecord>();
  readonly #reservations = new Map<string, Reservation>();

  revision(): number {
    return 0;
  }

  tokens(): readonly TokenRecord[] {
    return [...this.#tokens.values()];
  }

  addToken(record: TokenRecord): boolean {
    for (const other of this.#tokens.values())
      if (other.id === record.id || other.name === record.name || other.digest.equals(record.digest)) return false;
    this.#tokens.set(record.id, record);
    return true;
  }

  removeToken(id: string): boolean {
    return this.#tokens.delete(id);
  }

  touchTokens(uses: ReadonlyMap<string, number>): void {
    for (const [id, lastUsedAt] of uses) {
      const token = this.#tokens.get(id);
      if (token !== undefined) this.#tokens.set(id, { ...token, lastUsedAt });
    }
  }

  reservations(now: number): readonly Reservation[] {
    return [...this.#reservations.values()]
      .filter((reservation) => !hasRunOut(reservation, now))
      .sort((a, b) => (a.place < b.place ? -1 : 1));
  }

  reservation(place: string, now: number): Reservation | undefined {
    const found = this.#reservations.get(place);
    return found === undefined || hasRunOut(found, now) ? undefined : found;
  }

  countReservations(now: number, owner?: string): number {
    let count = 0;
    for (const reservation of this.#reservations.values())
      if ((owner === undefined || reservation.owner === owner) && !hasRunOut(reservation, now)) count += 1;
    return count;
  }

  reserve(wish: ReservationWish): Reservation {
    const present = this.#reservations.get(wish.place);
    const next = decideReservation(present, wish) ?? present;
    if (next === undefined) throw new Error("a place that nobody has is never refused");
    this.#reservations.set(wish.place, next);
    return next;
  }

  batch(action: () => void): void {
    action();
  }

  release(place: string): boolean {
    return this.#reservations.delete(place);
  }

  prune(now: number, maxGenerated: number): number {
    const before = this.#reservations.size;
    for (const [place, reservation] of this.#reservations)
      if (hasRunOut(reservation, now)) this.#reservations.delete(place);
    const generated = [...this.#reservations.values()].filter(({ source }) => source === "generated");
    generated.sort((a, b) => a.lastUsedAt - b.lastUsedAt);
    for (const { place } of generated.slice(0, Math.max(0, generated.length - maxGenerated)))
      this.#reservations.delete(place);
    return before - this.#reservations.size;
  }

  close(): void {}
}
