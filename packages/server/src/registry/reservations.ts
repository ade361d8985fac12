import { RELAY_LIMITS } from "../limits.ts";
import type { Reservation, ReservationSource, Store } from "../store/store.ts";
import type { NameRules, Place } from "./names.ts";
import { keysOfRequest, placeKey } from "./place-key.ts";

/** How asking for a place ended. */
export type ClaimResult = "mine" | "reserved" | "full";

/** A place somebody holds, to be noted as in use. */
export interface UsedPlace {
  readonly place: Place;
  readonly owner: string;
  readonly isGenerated: boolean;
}

/** What {@link Reservations} is made of. */
export interface ReservationsOptions {
  readonly store: Store;
  readonly names: NameRules;
  /** Wall clock: reservations outlive the relay. */
  readonly now: () => number;
}

// Segments of a target that are looked up in single-host mode: deeper prefixes are not reserved by anybody sane.
const MAX_PREFIX_SEGMENTS = 16;

/** Names that belong to somebody whether their agent is there or not, and for how long. */
export class Reservations {
  readonly #store: Store;
  readonly #names: NameRules;
  readonly #now: () => number;

  constructor(options: ReservationsOptions) {
    this.#store = options.store;
    this.#names = options.names;
    this.#now = options.now;
  }

  /** Whether somebody has the place, or had it so lately that the relay does not give it out again. */
  isTaken(place: Place): boolean {
    return this.#find(place) !== undefined;
  }

  /** Whether the place is kept for an agent without a token. */
  isAnonymous(place: Place): boolean {
    const found = this.#find(place);
    return found !== undefined && isAnonymousOwner(found.owner);
  }

  /** Takes the place for an owner who is about to bind it, or says why not. Atomic, in a shared store across processes. */
  claim(used: UsedPlace): ClaimResult {
    const present = this.#find(used.place);
    if (present !== undefined && present.owner !== used.owner) return "reserved";
    const wish = this.#wishFor(used, present);
    if (wish === undefined) return "mine";
    const { maxReservationsPerPrincipal } = RELAY_LIMITS;
    const isNew = present === undefined;
    if (isNew && this.#store.countReservations(this.#now(), used.owner) >= maxReservationsPerPrincipal) return "full";
    return this.#store.reserve({ ...wish, now: this.#now() }).owner === used.owner ? "mine" : "reserved";
  }

  /** Notes that places are in use, so that what they last counts from now. */
  touch(places: readonly UsedPlace[]): void {
    const wishes = places.flatMap((used) => {
      const present = this.#find(used.place);
      const isMine = present === undefined || present.owner === used.owner;
      const wish = isMine ? this.#wishFor(used, present) : undefined;
      return wish === undefined ? [] : [{ ...wish, now: this.#now() }];
    });
    if (wishes.length === 0) return;
    this.#store.batch(() => {
      for (const wish of wishes) this.#store.reserve(wish);
    });
  }

  /** Whether a request for this host and target is for a name that somebody has, though nobody serves it now. */
  isKnown(host: string, target: string): boolean {
    return keysOfRequest(host, target, this.#names, MAX_PREFIX_SEGMENTS).some((key) => this.#isNamed(key));
  }

  /** Whether a host is reserved by name, for whoever asks before it gets a certificate. */
  isReservedHost(host: string): boolean {
    return this.#isNamed(placeKey({ host, prefix: "" }, this.#names));
  }

  #isNamed(key: string): boolean {
    const found = this.#store.reservation(key, this.#now());
    // A name the relay gave out and whose agent has gone is unknown again; it is only not given to others yet.
    return found !== undefined && found.source !== "generated";
  }

  #find(place: Place): Reservation | undefined {
    return this.#store.reservation(placeKey(place, this.#names), this.#now());
  }

  /** What to write, if anything; recent writes are not repeated. */
  #wishFor(
    used: UsedPlace,
    present: Reservation | undefined,
  ): { place: string; owner: string; source: ReservationSource; expiresAt: number } | undefined {
    const source = used.isGenerated || !this.#isKeptFor(used.owner) ? "generated" : "claimed";
    // Without a store what an owner asked for by name is its own for the hold only.
    if (source === "generated" && !used.isGenerated && present?.source !== "generated") return undefined;
    const lastsMs = source === "generated" ? RELAY_LIMITS.generatedNameRestMs : RELAY_LIMITS.reservationMs;
    const now = this.#now();
    const isRecent = present !== undefined && now - present.lastUsedAt < RELAY_LIMITS.reservationTouchMs;
    const isUpgrade = present?.source === "generated" && source === "claimed";
    if (isRecent && !isUpgrade) return undefined;
    return { place: placeKey(used.place, this.#names), owner: used.owner, source, expiresAt: now + lastsMs };
  }

  /** Anonymous owners are made at will: what they ask for is theirs while they are there. */
  #isKeptFor(owner: string): boolean {
    return this.#store.isDurable && !isAnonymousOwner(owner);
  }
}

/** Whether an owner is an agent without a token, known by its own id alone. */
export function isAnonymousOwner(owner: string): boolean {
  return owner.startsWith("agent:");
}
