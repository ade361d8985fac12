import type { VisitorRules } from "../gate/rules.ts";
import { RELAY_LIMITS } from "../limits.ts";
import { type Logger, logEvent } from "../observability/logger.ts";
import { AbsentPlaces } from "./absent-places.ts";
import { type BindOutcome, refusal, refuseHeld } from "./bind-outcome.ts";
import { type DrawnPlace, drawPlace } from "./draw-place.ts";
import { Endpoint, type Member, type Owner, rulesKeyOf } from "./endpoint.ts";
import { EndpointTable } from "./endpoint-table.ts";
import { ANY_HOST, isBindable, type NameRules, namesOfPlace, type Place, parseWanted, urlOfPlace } from "./names.ts";
import { type BindDecision, type BindRequest, claimOf, decideBind, recordChange } from "./ownership.ts";
import { Parking, type ParkTag } from "./parking.ts";
import type { Ports } from "./ports.ts";
import { probeOwners } from "./probe-owners.ts";
import { RegistryRoute, type RouteSource } from "./registry-route.ts";
import type { Reservations, UsedPlace } from "./reservations.ts";
import type { ParkResult, Route, Router } from "./route.ts";
import { isTcpPlace, parseWantedTcp, TCP_PREFIX, tcpHostOf, tcpPlace, type WantedTcp } from "./tcp-place.ts";
import { TcpRegistryRoute, type TcpRoute, type TcpRouter } from "./tcp-route.ts";
import type { TcpRules } from "./tcp-rules.ts";

/** A bind as the agent sent it. */
export interface BindWish {
  readonly bind: number;
  readonly url: string | undefined;
  readonly ageMs: number;
  /** Given back from an earlier `bound`. */
  readonly claim: number | undefined;
  readonly pooling: boolean;
  readonly takeover: boolean;
  readonly stripPrefix: boolean;
  /** A TCP tunnel, and who may connect to it. */
  readonly tcp?: TcpRules;
  /** Whom a tunnel of HTTP lets in. */
  readonly visitors?: VisitorRules;
}

/** What the registry needs. */
export interface RegistryDeps {
  readonly names: NameRules;
  readonly holdMs: number;
  readonly parkMs: number;
  readonly logger: Logger;
  /** Wall clock: claims outlive the relay. */
  readonly now: () => number;
  readonly parking?: Parking;
  /** Names that belong to owners beyond their sessions. */
  readonly reservations: Reservations;
  /** Raw public ports for TCP tunnels, where there are any. */
  readonly ports?: Ports;
  /** Draws a name, instead of the relay's own way. */
  readonly drawName?: () => string;
}

// Members may change while their PINGs are out; after so many rounds the answer is "held".
const MAX_PROBE_ROUNDS = 4;

/** Who serves which public place. Control claims and releases, ingress finds; they meet only here. */
export class Registry implements Router, RouteSource, TcpRouter {
  readonly parking: Parking;
  readonly #deps: RegistryDeps;
  readonly #table = new EndpointTable();
  readonly #owned = new Map<Owner, Map<number, Endpoint>>();
  readonly #absent: AbsentPlaces;

  constructor(deps: RegistryDeps) {
    this.#deps = deps;
    this.parking = deps.parking ?? new Parking();
    this.#absent = new AbsentPlaces(deps, this.parking);
  }

  /** Everything that is bound or held. */
  get endpoints(): readonly Endpoint[] {
    return this.#table.all();
  }

  /** Whether anything is bound or held at exactly this host. */
  serves(host: string): boolean {
    return this.#table.at(host).length > 0;
  }

  get revision(): number {
    return this.#table.revision;
  }

  get endpointCount(): number {
    return this.#table.size;
  }

  find(host: string, target: string): Route | undefined {
    const endpoint = this.#table.locate(host, target);
    const isExpected = endpoint !== undefined || (this.#absent.isStarting && isBindable(host, this.#deps.names));
    if (!isExpected && !this.#absent.isReserved(host, target)) return undefined;
    return new RegistryRoute({ host, target }, this, endpoint);
  }

  findTcp(name: string): TcpRoute | undefined {
    const { names } = this.#deps;
    const host = tcpHostOf(name, names);
    if (host === undefined) return undefined;
    const isExpected =
      this.#table.locate(host, TCP_PREFIX) !== undefined ||
      (this.#table.at(host).length === 0 && (this.#absent.isStarting || this.#absent.isReserved(host, TCP_PREFIX)));
    return isExpected ? new TcpRegistryRoute(host, namesOfPlace(tcpPlace(host), names), this) : undefined;
  }

  locate(tag: ParkTag): Endpoint | undefined {
    return this.#table.locate(tag.host, tag.target);
  }

  /** Waits at the endpoint, or during the start hold at the place it may come back to. */
  park(tag: ParkTag, bytes: number, signal: AbortSignal): Promise<ParkResult> {
    const endpoint = this.locate(tag);
    if (endpoint?.canOpen === true) return Promise.resolve("ready");
    if (endpoint?.isOnline === true) return Promise.resolve("full");
    if (endpoint === undefined) return this.#absent.park(tag, bytes, signal);
    return this.parking.park(endpoint.spot, { ...tag, bytes, signal, timeoutMs: this.#deps.parkMs });
  }

  /** Decides a bind by the ownership table, asking a living holder where the table wants to know. */
  async bind(owner: Owner, wish: BindWish): Promise<BindOutcome> {
    const parse = wish.tcp === undefined ? parseWanted : parseWantedTcp;
    const wanted: WantedTcp = parse(wish.url, this.#deps.names, hostOf(owner.origin.authority));
    if (wanted.refused !== undefined) return refusal("ERR_GGROK_NAME_NOT_ALLOWED", wanted.refused);
    const chosen =
      wanted.place === "generate" ? this.#choosePlace(owner, wish) : { place: wanted.place, isGenerated: false };
    if (chosen === undefined) {
      return refusal("ERR_GGROK_NAME_NOT_ALLOWED", `say which name: this token may bind ${owner.rights.summary}`);
    }
    const { place, isGenerated } = chosen;
    const notAllowed = this.#checkRights(owner, place);
    if (notAllowed !== undefined) return notAllowed;
    const owned = this.#owned.get(owner);
    const count = owned?.size ?? 0;
    if (count >= RELAY_LIMITS.maxEndpointsPerSession && owned?.has(wish.bind) !== true) {
      return refusal(
        "ERR_GGROK_LIMIT_REACHED",
        `this session holds ${String(count)} endpoints, the limit is ${String(RELAY_LIMITS.maxEndpointsPerSession)}`,
      );
    }
    const claim = claimOf(
      { ageMs: wish.ageMs, ...(wish.claim !== undefined && { claim: wish.claim }) },
      this.#deps.now(),
    );
    const request: BindRequest = {
      principal: owner.principal,
      agentId: owner.agentId,
      instance: owner.instance,
      claim,
      pooling: wish.pooling,
      returning: wish.claim !== undefined,
      takeover: wish.takeover,
    };
    const answers = new Map<Owner, boolean>();
    for (let round = 0; round < MAX_PROBE_ROUNDS; round += 1) {
      const notFree = this.#checkNeighbours(owner, place);
      if (notFree !== undefined) return notFree;
      const endpoint = this.#table.get(place);
      const decision = decideBind(endpoint?.record(answers), request, this.#deps.now());
      if (decision.action === "refuse") return refuseHeld(decision.why, endpoint, owner);
      if (decision.action === "join" && endpoint !== undefined && !this.#admitsRules(endpoint, owner, wish))
        return refuseHeld("rules-differ", endpoint, owner);
      if (decision.action !== "probe") {
        const notMine = this.#claim(owner, place, isGenerated);
        if (notMine !== undefined) return notMine;
        const member = {
          owner,
          bind: wish.bind,
          claim,
          pooling: wish.pooling,
          stripPrefix: wish.stripPrefix,
          isGenerated,
          ...(wish.tcp !== undefined && { tcp: wish.tcp }),
          ...(wish.visitors !== undefined && { visitors: wish.visitors }),
        };
        const outcome = this.#settle(place, endpoint, member, decision);
        return wish.tcp === undefined ? outcome : await this.#addPort(outcome, member, wanted.port);
      }
      await probeOwners(endpoint?.members ?? [], answers);
      if (owner.isClosed) return refusal("ERR_GGROK_SESSION_LOST", "the session ended while the holder was asked");
    }
    return refuseHeld("held", this.#table.get(place), owner);
  }

  /** Whether an owner has any endpoint. */
  holds(owner: Owner): boolean {
    return this.#owned.has(owner);
  }

  /** Gives one endpoint up; false when it was not this owner's. */
  release(owner: Owner, bind: number): boolean {
    const endpoint = this.#owned.get(owner)?.get(bind);
    if (endpoint === undefined) return false;
    this.#remove(endpoint, (member) => member.owner === owner && member.bind === bind);
    return true;
  }

  /** Gives everything of an owner up: its hold is over, or it unbound. */
  releaseAll(owner: Owner): void {
    for (const bind of [...(this.#owned.get(owner)?.keys() ?? [])]) this.release(owner, bind);
  }

  /** Call when an owner's session can take streams again. */
  wake(owner: Owner): void {
    for (const endpoint of this.#owned.get(owner)?.values() ?? []) this.parking.release(endpoint.spot, "ready");
  }

  /** Ends every wait: the relay goes down. */
  releaseParked(): void {
    this.#absent.release("offline");
    for (const endpoint of this.#table.all()) this.parking.release(endpoint.spot, "offline");
  }

  #settle(place: Place, present: Endpoint | undefined, member: Member, decision: BindDecision): BindOutcome {
    const { owner, bind } = member;
    const endpoint = present ?? this.#add(place, owner);
    const previous = this.#owned.get(owner)?.get(bind);
    if (previous !== undefined && previous !== endpoint) this.release(owner, bind);
    let { claim } = member;
    if (decision.action === "rebind") {
      claim = endpoint.members.find((other) => other.owner.instance === owner.instance)?.claim ?? claim;
      const replaced = this.#detach(
        endpoint,
        (other) => other.owner.instance === owner.instance && other.owner.slot === owner.slot,
      );
      // One process asked for the same place twice: the later wish stands, the earlier one is told.
      for (const other of replaced)
        if (other.owner === owner && other.bind !== bind)
          owner.unbound(other.bind, "ERR_GGROK_TAKEN_OVER", owner.label);
    }
    if (decision.action === "take-over") {
      if (decision.fromLiving) endpoint.changes = recordChange(endpoint.changes, this.#deps.now());
      for (const other of this.#detach(endpoint, () => true))
        other.owner.unbound(other.bind, "ERR_GGROK_TAKEN_OVER", owner.label);
    }
    endpoint.join({ ...member, claim });
    const owned = this.#owned.get(owner) ?? new Map<number, Endpoint>();
    this.#owned.set(owner, owned.set(bind, endpoint));
    logEvent(
      this.#deps.logger,
      "endpoint.bound",
      { url: endpoint.url, agent: owner.label, how: decision.action },
      `${endpoint.url} bound`,
    );
    this.parking.release(endpoint.spot, "ready");
    this.#absent.release("ready", (tag) => this.locate(tag) === endpoint);
    return { bound: { url: endpoint.url, claim } };
  }

  /** Gives a TCP tunnel its raw public port, where the relay has any. Its name is bound already. */
  async #addPort(outcome: BindOutcome, member: Member, wanted: number | undefined): Promise<BindOutcome> {
    const { owner, bind } = member;
    const endpoint = this.#owned.get(owner)?.get(bind);
    if (endpoint === undefined || !("bound" in outcome)) return outcome;
    const { ports, names } = this.#deps;
    const mayUse = (port: number): boolean =>
      owner.rights.mayBind({ kind: "tcp", names: namesOfPlace(endpoint.place, names), port });
    const { host } = endpoint.place;
    endpoint.publicPort ??= ports?.assign({ host, wanted, former: member.tcp?.formerPort, mayUse });
    const port = await endpoint.publicPort;
    if (wanted !== undefined && port !== wanted) {
      this.release(owner, bind);
      const why =
        ports?.areOffered === true ? "it is in use, not offered, or not this token's" : "this relay offers none";
      return refusal("ERR_GGROK_NAME_NOT_ALLOWED", `the public port ${String(wanted)} cannot be had: ${why}`);
    }
    if (port === undefined) return outcome;
    const relayHost = names.domain ?? hostOf(owner.origin.authority);
    return { bound: { ...outcome.bound, portUrl: `tcp://${relayHost}:${String(port)}` } };
  }

  /** A place for an agent that asked for none; undefined when its token leaves the choice to it. */
  #choosePlace(owner: Owner, { bind, tcp }: BindWish): DrawnPlace | undefined {
    // A process whose `bound` was lost asks again with the same number and must get the same name.
    for (const [other, owned] of this.#owned) {
      const endpoint = owned.get(bind);
      if (endpoint === undefined || other.instance !== owner.instance || other.principal !== owner.principal) continue;
      if (endpoint.members.some((member) => member.owner === other && member.bind === bind && member.isGenerated))
        return { place: endpoint.place, isGenerated: true };
    }
    return drawPlace({
      globs: owner.rights.nameGlobs,
      isTcp: tcp !== undefined,
      domain: this.#deps.names.domain,
      isFree: (place) => this.#table.at(place.host).length === 0 && !this.#deps.reservations.isTaken(place),
      ...(this.#deps.drawName !== undefined && { draw: this.#deps.drawName }),
    });
  }

  #checkRights(owner: Owner, place: Place): BindOutcome | undefined {
    const names = namesOfPlace(place, this.#deps.names);
    const isTcp = isTcpPlace(place);
    if (owner.rights.mayBind(isTcp ? { kind: "tcp", names } : { kind: "http", names, path: place.prefix }))
      return undefined;
    const path = isTcp ? " as a TCP tunnel" : place.prefix;
    const asked = `${place.host === ANY_HOST ? "every host" : place.host}${path}`;
    return refusal("ERR_GGROK_NAME_NOT_ALLOWED", `this token may bind ${owner.rights.summary}, but not ${asked}`);
  }

  /** Below a domain a host is one owner's with all its paths: nobody slips in under somebody else's name. */
  #checkNeighbours(owner: Owner, place: Place): BindOutcome | undefined {
    if (this.#deps.names.domain === undefined) return undefined;
    const other = this.#table
      .at(place.host)
      .find(({ members }) => members.some((member) => member.owner.principal !== owner.principal));
    return other === undefined ? undefined : refuseHeld("other-token", other, owner);
  }

  #claim(owner: Owner, place: Place, isGenerated: boolean): BindOutcome | undefined {
    const url = urlOfPlace(place, owner.origin);
    try {
      const result = this.#deps.reservations.claim({ place, owner: owner.principal, isGenerated });
      if (result === "mine") return undefined;
      if (result === "reserved") {
        const whose = this.#deps.reservations.isAnonymous(place) ? "another agent" : "another token";
        return refusal("ERR_GGROK_NAME_TAKEN", `${url} is reserved for ${whose}`);
      }
      const limit = String(RELAY_LIMITS.maxReservationsPerPrincipal);
      return refusal("ERR_GGROK_LIMIT_REACHED", `this token has reserved ${limit} names, which is the limit`);
    } catch (error) {
      this.#deps.logger.error({ err: error }, "the store failed; a name was not given");
      return refusal("ERR_GGROK_INTERNAL", "the relay could not write down who owns the name");
    }
  }

  #add(place: Place, owner: Owner): Endpoint {
    const endpoint = new Endpoint(place, urlOfPlace(place, owner.origin));
    this.#table.add(endpoint);
    return endpoint;
  }

  /**
   * Whether a pool may be joined with these rules: everyone else has the same. What the joining agent left behind itself, a
   * session that is lost, does not count and goes.
   */
  #admitsRules(endpoint: Endpoint, owner: Owner, wish: BindWish): boolean {
    const key = rulesKeyOf(wish);
    const isDifferent = (member: Member): boolean => rulesKeyOf(member) !== key;
    const different = endpoint.members.filter(isDifferent);
    if (different.some((member) => !member.owner.isAway || member.owner.agentId !== owner.agentId)) return false;
    for (const other of this.#detach(endpoint, isDifferent))
      other.owner.unbound(other.bind, "ERR_GGROK_TAKEN_OVER", owner.label);
    return true;
  }

  /** Takes members out and returns them; the endpoint stays. */
  #detach(endpoint: Endpoint, test: (member: Member) => boolean): Member[] {
    const gone = endpoint.members.filter(test);
    endpoint.members = endpoint.members.filter((member) => !test(member));
    for (const { owner, bind } of gone) {
      const owned = this.#owned.get(owner);
      owned?.delete(bind);
      if (owned?.size === 0) this.#owned.delete(owner);
    }
    return gone;
  }

  #remove(endpoint: Endpoint, test: (member: Member) => boolean): void {
    const gone = this.#detach(endpoint, test);
    for (const { owner } of gone) {
      logEvent(
        this.#deps.logger,
        "endpoint.released",
        { url: endpoint.url, agent: owner.label },
        `${endpoint.url} released`,
      );
    }
    if (endpoint.members.length > 0) return;
    this.#table.remove(endpoint);
    void endpoint.publicPort?.then((port) => port !== undefined && this.#deps.ports?.release(port));
    this.parking.release(endpoint.spot, "offline");
  }

  /** Everything held, for the note that it is in use. */
  get usedPlaces(): readonly UsedPlace[] {
    return this.#table.all().flatMap(({ place, members }) => {
      const [member] = members;
      if (member === undefined) return [];
      return [{ place, owner: member.owner.principal, isGenerated: member.isGenerated }];
    });
  }
}

function hostOf(authority: string): string {
  return authority.replace(/:\d+$/u, "").toLowerCase();
}
