import { Endpoint, type Member, type Owner } from "./endpoint.ts";
import { EndpointTable } from "./endpoint-table.ts";
import { type Place, urlOfPlace } from "./names.ts";
import type { UsedPlace } from "./reservations.ts";

/** Who holds what: the endpoints by their places, and by their owners with the owners' own numbers for them. */
export class Holdings {
  readonly table = new EndpointTable();
  readonly #owned = new Map<Owner, Map<number, Endpoint>>();

  /** Whether an owner has any endpoint. */
  holds(owner: Owner): boolean {
    return this.#owned.has(owner);
  }

  /** How many endpoints an owner has. */
  countOf(owner: Owner): number {
    return this.#owned.get(owner)?.size ?? 0;
  }

  /** What an owner has under its number. */
  get(owner: Owner, bind: number): Endpoint | undefined {
    return this.#owned.get(owner)?.get(bind);
  }

  /** A copy of everything an owner has, by its numbers. */
  of(owner: Owner): ReadonlyMap<number, Endpoint> {
    return new Map(this.#owned.get(owner));
  }

  /** The place the relay has chosen for another connection of the same process under this number. */
  generatedFor(owner: Owner, bind: number): Place | undefined {
    for (const [other, owned] of this.#owned) {
      const endpoint = owned.get(bind);
      if (endpoint === undefined || other.instance !== owner.instance || other.principal !== owner.principal) continue;
      if (endpoint.members.some((member) => member.owner === other && member.bind === bind && member.isGenerated))
        return endpoint.place;
    }
    return undefined;
  }

  /** Adds an endpoint, which nobody serves yet. @param owner has reached the relay where its URL leads */
  add(place: Place, owner: Owner): Endpoint {
    const endpoint = new Endpoint(place, urlOfPlace(place, owner.origin));
    this.table.add(endpoint);
    return endpoint;
  }

  /** Adds a member to an endpoint. */
  join(endpoint: Endpoint, member: Member): void {
    endpoint.join(member);
    const owned = this.#owned.get(member.owner) ?? new Map<number, Endpoint>();
    this.#owned.set(member.owner, owned.set(member.bind, endpoint));
  }

  /** Takes members out and returns them; the endpoint stays. */
  detach(endpoint: Endpoint, test: (member: Member) => boolean): Member[] {
    const gone = endpoint.members.filter(test);
    endpoint.members = endpoint.members.filter((member) => !test(member));
    for (const { owner, bind } of gone) {
      const owned = this.#owned.get(owner);
      owned?.delete(bind);
      if (owned?.size === 0) this.#owned.delete(owner);
    }
    return gone;
  }

  /** Everything held, for the note that it is in use. */
  get usedPlaces(): readonly UsedPlace[] {
    return this.table.all().flatMap(({ place, members }) => {
      const [member] = members;
      if (member === undefined) return [];
      return [{ place, owner: member.owner.principal, isGenerated: member.isGenerated }];
    });
  }
}
