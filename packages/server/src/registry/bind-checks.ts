import { RELAY_LIMITS } from "../limits.ts";
import type { Logger } from "../observability/logger.ts";
import { type BindOutcome, refusal, refuseHeld } from "./bind-outcome.ts";
import { type DrawnPlace, drawPlace } from "./draw-place.ts";
import type { Owner } from "./endpoint.ts";
import type { Holdings } from "./holdings.ts";
import { ANY_HOST, type NameRules, namesOfPlace, type Place, urlOfPlace } from "./names.ts";
import type { Reservations } from "./reservations.ts";
import { isTcpPlace } from "./tcp-place.ts";

/** What the checks look at. */
export interface BindChecksDeps {
  readonly names: NameRules;
  readonly logger: Logger;
  /** Names that belong to owners beyond their sessions. */
  readonly reservations: Reservations;
  /** Draws a name, instead of the relay's own way. */
  readonly drawName?: () => string;
}

/** What a bind has to pass whoever holds the place now. Each check gives the refusal, or undefined. */
export class BindChecks {
  readonly #deps: BindChecksDeps;
  readonly #holdings: Holdings;

  constructor(deps: BindChecksDeps, holdings: Holdings) {
    this.#deps = deps;
    this.#holdings = holdings;
  }

  /** A place for an agent that asked for none; undefined when its token leaves the choice to it. */
  choosePlace(owner: Owner, bind: number, isTcp: boolean): DrawnPlace | undefined {
    // A process whose `bound` was lost asks again with the same number and must get the same name.
    const before = this.#holdings.generatedFor(owner, bind);
    if (before !== undefined) return { place: before, isGenerated: true };
    const { names, reservations, drawName } = this.#deps;
    return drawPlace({
      globs: owner.rights.nameGlobs,
      isTcp,
      domain: names.domain,
      isFree: (place) => this.#holdings.table.at(place.host).length === 0 && !reservations.isTaken(place),
      ...(drawName !== undefined && { draw: drawName }),
    });
  }

  /** The token is for such places. */
  checkRights(owner: Owner, place: Place): BindOutcome | undefined {
    const names = namesOfPlace(place, this.#deps.names);
    const isTcp = isTcpPlace(place);
    if (owner.rights.mayBind(isTcp ? { kind: "tcp", names } : { kind: "http", names, path: place.prefix }))
      return undefined;
    const path = isTcp ? " as a TCP tunnel" : place.prefix;
    const asked = `${place.host === ANY_HOST ? "every host" : place.host}${path}`;
    return refusal("ERR_GGROK_NAME_NOT_ALLOWED", `this token may bind ${owner.rights.summary}, but not ${asked}`);
  }

  /** The session has room for one more, or has the number already. */
  checkCount(owner: Owner, bind: number): BindOutcome | undefined {
    const count = this.#holdings.countOf(owner);
    const { maxEndpointsPerSession } = RELAY_LIMITS;
    if (count < maxEndpointsPerSession || this.#holdings.get(owner, bind) !== undefined) return undefined;
    const limit = String(maxEndpointsPerSession);
    return refusal("ERR_GGROK_LIMIT_REACHED", `this session holds ${String(count)} endpoints, the limit is ${limit}`);
  }

  /** Below a domain a host is one owner's with all its paths: nobody slips in under somebody else's name. */
  checkNeighbours(owner: Owner, place: Place): BindOutcome | undefined {
    if (this.#deps.names.domain === undefined) return undefined;
    const other = this.#holdings.table
      .at(place.host)
      .find(({ members }) => members.some((member) => member.owner.principal !== owner.principal));
    return other === undefined ? undefined : refuseHeld("other-token", other, owner);
  }

  /** The name is nobody else's, and from now on this owner's. */
  claim(owner: Owner, { place, isGenerated }: DrawnPlace): BindOutcome | undefined {
    const { reservations, logger } = this.#deps;
    try {
      const result = reservations.claim({ place, owner: owner.principal, isGenerated });
      if (result === "mine") return undefined;
      if (result === "reserved") {
        const whose = reservations.isAnonymous(place) ? "another agent" : "another token";
        return refusal("ERR_GGROK_NAME_TAKEN", `${urlOfPlace(place, owner.origin)} is reserved for ${whose}`);
      }
      const limit = String(RELAY_LIMITS.maxReservationsPerPrincipal);
      return refusal("ERR_GGROK_LIMIT_REACHED", `this token has reserved ${limit} names, which is the limit`);
    } catch (error) {
      logger.error({ err: error }, "the store failed; a name was not given");
      return refusal("ERR_GGROK_INTERNAL", "the relay could not write down who owns the name");
    }
  }
}
