import type { VisitorRules } from "../gate/rules.ts";
import { logEvent } from "../observability/logger.ts";
import { AbsentPlaces } from "./absent-places.ts";
import { BindChecks, type BindChecksDeps } from "./bind-checks.ts";
import { type BindOutcome, refusal, refuseHeld } from "./bind-outcome.ts";
import type { DrawnPlace } from "./draw-place.ts";
import { type Endpoint, type Member, type Owner, rulesKeyOf } from "./endpoint.ts";
import { Holdings } from "./holdings.ts";
import { isBindable, namesOfPlace, parseWanted } from "./names.ts";
import { type BindDecision, type BindRequest, claimOf, decideBind, recordChange } from "./ownership.ts";
import { Parking, type ParkTag } from "./parking.ts";
import type { Ports } from "./ports.ts";
import { probeOwners } from "./probe-owners.ts";
import { RegistryRoute, type RouteSource } from "./registry-route.ts";
import type { UsedPlace } from "./reservations.ts";
import type { ParkResult, Route, Router } from "./route.ts";
import { parseWantedTcp, TCP_PREFIX, tcpHostOf, tcpPlace, type WantedTcp } from "./tcp-place.ts";
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
export interface RegistryDeps extends BindChecksDeps {
  readonly holdMs: number;
  readonly parkMs: number;
  /** Wall clock: claims outlive the relay. */
  readonly now: () => number;
  readonly parking?: Parking;
  /** Raw public ports for TCP tunnels, where there are any. */
  readonly ports?: Ports;
}

// Members may change while their PINGs are out; after so many rounds the answer is "held".
const MAX_PROBE_ROUNDS = 4;

/** Who serves which public place. Control claims and releases, ingress finds; they meet only here. */
export class Registry implements Router, RouteSource, TcpRouter {
  readonly parking: Parking;
  readonly #deps: RegistryDeps;
  readonly #holdings = new Holdings();
  readonly #checks: BindChecks;
  readonly #absent: AbsentPlaces;

  constructor(deps: RegistryDeps) {
    this.#deps = deps;
    this.#checks = new BindChecks(deps, this.#holdings);
    this.parking = deps.parking ?? new Parking();
    this.#absent = new AbsentPlaces(deps, this.parking);
  }

  /** Everything that is bound or held. */
  get endpoints(): readonly Endpoint[] {
    return this.#holdings.table.all();
  }

  /** Everything held, for the note that it is in use. */
  get usedPlaces(): readonly UsedPlace[] {
    return this.#holdings.usedPlaces;
  }

  /** Whether anything is bound or held at exactly this host. */
  serves(host: string): boolean {
    return this.#holdings.table.at(host).length > 0;
  }

  get revision(): number {
    return this.#holdings.table.revision;
  }

  get endpointCount(): number {
    return this.#holdings.table.size;
  }

  find(host: string, target: string): Route | undefined {
    const endpoint = this.#holdings.table.locate(host, target);
    const isExpected = endpoint !== undefined || (this.#absent.isStarting && isBindable(host, this.#deps.names));
    if (!isExpected && !this.#absent.isReserved(host, target)) return undefined;
    return new RegistryRoute({ host, target }, this, endpoint);
  }

  findTcp(name: string): TcpRoute | undefined {
    const { names } = this.#deps;
    const host = tcpHostOf(name, names);
    if (host === undefined) return undefined;
    const isExpected =
      this.#holdings.table.locate(host, TCP_PREFIX) !== undefined ||
      (this.#holdings.table.at(host).length === 0 &&
        (this.#absent.isStarting || this.#absent.isReserved(host, TCP_PREFIX)));
    return isExpected ? new TcpRegistryRoute(host, namesOfPlace(tcpPlace(host), names), this) : undefined;
  }

  locate(tag: ParkTag): Endpoint | undefined {
    return this.#holdings.table.locate(tag.host, tag.target);
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
    const isTcp = wish.tcp !== undefined;
    const parse = isTcp ? parseWantedTcp : parseWanted;
    const wanted: WantedTcp = parse(wish.url, this.#deps.names, hostOf(owner.origin.authority));
    if (wanted.refused !== undefined) return refusal("ERR_GGROK_NAME_NOT_ALLOWED", wanted.refused);
    const chosen =
      wanted.place === "generate"
        ? this.#checks.choosePlace(owner, wish.bind, isTcp)
        : { place: wanted.place, isGenerated: false };
    if (chosen === undefined) {
      return refusal("ERR_GGROK_NAME_NOT_ALLOWED", `say which name: this token may bind ${owner.rights.summary}`);
    }
    const notAllowed = this.#checks.checkRights(owner, chosen.place) ?? this.#checks.checkCount(owner, wish.bind);
    if (notAllowed !== undefined) return notAllowed;
    const outcome = await this.#decide(owner, wish, chosen);
    return isTcp ? await this.#addPort(outcome, owner, wish, wanted.port) : outcome;
  }

  async #decide(owner: Owner, wish: BindWish, chosen: DrawnPlace): Promise<BindOutcome> {
    const { place, isGenerated } = chosen;
    const { bind, pooling, takeover, stripPrefix, ageMs, tcp, visitors } = wish;
    const { principal, agentId, instance } = owner;
    const returning = wish.claim !== undefined;
    const claim = claimOf({ ageMs, ...(returning && { claim: wish.claim }) }, this.#deps.now());
    const request: BindRequest = { principal, agentId, instance, claim, pooling, returning, takeover };
    const answers = new Map<Owner, boolean>();
    for (let round = 0; round < MAX_PROBE_ROUNDS; round += 1) {
      const notFree = this.#checks.checkNeighbours(owner, place);
      if (notFree !== undefined) return notFree;
      const endpoint = this.#holdings.table.get(place);
      const decision = decideBind(endpoint?.record(answers), request, this.#deps.now());
      if (decision.action === "refuse") return refuseHeld(decision.why, endpoint, owner);
      if (decision.action === "join" && endpoint !== undefined && !this.#admitsRules(endpoint, owner, wish))
        return refuseHeld("rules-differ", endpoint, owner);
      if (decision.action !== "probe") {
        const notMine = this.#checks.claim(owner, chosen);
        if (notMine !== undefined) return notMine;
        const rules = { ...(tcp !== undefined && { tcp }), ...(visitors !== undefined && { visitors }) };
        const member: Member = { owner, bind, claim, pooling, stripPrefix, isGenerated, ...rules };
        return this.#settle(endpoint ?? this.#holdings.add(place, owner), member, decision);
      }
      await probeOwners(endpoint?.members ?? [], answers);
      if (owner.isClosed) return refusal("ERR_GGROK_SESSION_LOST", "the session ended while the holder was asked");
    }
    return refuseHeld("held", this.#holdings.table.get(place), owner);
  }

  /** Whether an owner has any endpoint. */
  holds(owner: Owner): boolean {
    return this.#holdings.holds(owner);
  }

  /** Gives one endpoint up; false when it was not this owner's. */
  release(owner: Owner, bind: number): boolean {
    const endpoint = this.#holdings.get(owner, bind);
    if (endpoint === undefined) return false;
    this.#remove(endpoint, (member) => member.owner === owner && member.bind === bind);
    return true;
  }

  /** Gives everything of an owner up: its hold is over, or it unbound. */
  releaseAll(owner: Owner): void {
    for (const bind of this.#holdings.of(owner).keys()) this.release(owner, bind);
  }

  /** Call when an owner's session can take streams again. */
  wake(owner: Owner): void {
    for (const endpoint of this.#holdings.of(owner).values()) this.parking.release(endpoint.spot, "ready");
  }

  /** Ends every wait: the relay goes down. */
  releaseParked(): void {
    this.#absent.release("offline");
    for (const endpoint of this.#holdings.table.all()) this.parking.release(endpoint.spot, "offline");
  }

  #settle(endpoint: Endpoint, member: Member, decision: BindDecision): BindOutcome {
    const { owner, bind } = member;
    const previous = this.#holdings.get(owner, bind);
    if (previous !== undefined && previous !== endpoint) this.release(owner, bind);
    let { claim } = member;
    if (decision.action === "rebind") {
      claim = endpoint.members.find((other) => other.owner.instance === owner.instance)?.claim ?? claim;
      const replaced = this.#holdings.detach(
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
      for (const other of this.#holdings.detach(endpoint, () => true))
        other.owner.unbound(other.bind, "ERR_GGROK_TAKEN_OVER", owner.label);
    }
    this.#holdings.join(endpoint, { ...member, claim });
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
  async #addPort(outcome: BindOutcome, owner: Owner, wish: BindWish, wanted?: number): Promise<BindOutcome> {
    const endpoint = this.#holdings.get(owner, wish.bind);
    if (endpoint === undefined || !("bound" in outcome)) return outcome;
    const { ports, names } = this.#deps;
    const mayUse = (port: number): boolean =>
      owner.rights.mayBind({ kind: "tcp", names: namesOfPlace(endpoint.place, names), port });
    const { host } = endpoint.place;
    endpoint.publicPort ??= ports?.assign({ host, wanted, former: wish.tcp?.formerPort, mayUse });
    const port = await endpoint.publicPort;
    if (wanted !== undefined && port !== wanted) {
      this.release(owner, wish.bind);
      const why =
        ports?.areOffered === true ? "it is in use, not offered, or not this token's" : "this relay offers none";
      return refusal("ERR_GGROK_NAME_NOT_ALLOWED", `the public port ${String(wanted)} cannot be had: ${why}`);
    }
    if (port === undefined) return outcome;
    const relayHost = names.domain ?? hostOf(owner.origin.authority);
    return { bound: { ...outcome.bound, portUrl: `tcp://${relayHost}:${String(port)}` } };
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
    for (const other of this.#holdings.detach(endpoint, isDifferent))
      other.owner.unbound(other.bind, "ERR_GGROK_TAKEN_OVER", owner.label);
    return true;
  }

  #remove(endpoint: Endpoint, test: (member: Member) => boolean): void {
    const gone = this.#holdings.detach(endpoint, test);
    for (const { owner } of gone) {
      logEvent(
        this.#deps.logger,
        "endpoint.released",
        { url: endpoint.url, agent: owner.label },
        `${endpoint.url} released`,
      );
    }
    if (endpoint.members.length > 0) return;
    this.#holdings.table.remove(endpoint);
    void endpoint.publicPort?.then((port) => port !== undefined && this.#deps.ports?.release(port));
    this.parking.release(endpoint.spot, "offline");
  }
}

function hostOf(authority: string): string {
  return authority.replace(/:\d+$/u, "").toLowerCase();
}
