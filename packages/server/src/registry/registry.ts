import type { ErrorCode } from "@ggrok/protocol";
import { customAlphabet } from "nanoid";
import type { VisitorRules } from "../gate/rules.ts";
import { RELAY_LIMITS } from "../limits.ts";
import { type Logger, logEvent } from "../observability/logger.ts";
import { Endpoint, type Member, type Owner, rulesKeyOf } from "./endpoint.ts";
import { EndpointTable } from "./endpoint-table.ts";
import { chooseName } from "./generated-name.ts";
import { ANY_HOST, isBindable, type NameRules, namesOfPlace, type Place, parseWanted, urlOfPlace } from "./names.ts";
import { type BindDecision, type BindRequest, claimOf, decideBind, type Refusal, recordChange } from "./ownership.ts";
import { Parking, ParkingSpot, type ParkTag } from "./parking.ts";
import type { Ports } from "./ports.ts";
import { RegistryRoute, type RouteSource } from "./registry-route.ts";
import { isAnonymousOwner, type Reservations, type UsedPlace } from "./reservations.ts";
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

/** The answer to a bind. */
export type BindOutcome =
  | { readonly bound: { url: string; claim: number; portUrl?: string } }
  | { readonly refused: { code: ErrorCode; message: string; holder: string | undefined } };

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

// 36^10 is above 2^51: nobody guesses a name, and two agents hardly ever draw the same.
const generateName = customAlphabet("abcdefghijklmnopqrstuvwxyz0123456789", 10);

// Members may change while their PINGs are out; after so many rounds the answer is "held".
const MAX_PROBE_ROUNDS = 4;

/** Who serves which public place. Control claims and releases, ingress finds; they meet only here. */
export class Registry implements Router, RouteSource, TcpRouter {
  readonly parking: Parking;
  readonly #deps: RegistryDeps;
  readonly #table = new EndpointTable();
  readonly #owned = new Map<Owner, Map<number, Endpoint>>();
  readonly #startSpot = new ParkingSpot();
  readonly #reservedSpots = new Map<string, ParkingSpot>();
  readonly #startedAt: number;

  constructor(deps: RegistryDeps) {
    this.#deps = deps;
    this.parking = deps.parking ?? new Parking();
    this.#startedAt = deps.now();
  }

  /** Everything that is bound or held. */
  get endpoints(): readonly Endpoint[] {
    return this.#table.all();
  }

  /** Whether anything is bound or held at exactly this host. */
  serves(host: string): boolean {
    return this.#table.at(host).length > 0;
  }

  get endpointCount(): number {
    return this.#table.size;
  }

  find(host: string, target: string): Route | undefined {
    const isKnown = this.#table.locate(host, target) !== undefined;
    const isExpected = isKnown || (this.#startHoldLeft() > 0 && isBindable(host, this.#deps.names));
    if (!isExpected && !this.#isReserved(host, target)) return undefined;
    return new RegistryRoute({ host, target }, this);
  }

  findTcp(name: string): TcpRoute | undefined {
    const { names } = this.#deps;
    const host = tcpHostOf(name, names);
    if (host === undefined) return undefined;
    const isExpected =
      this.#table.locate(host, TCP_PREFIX) !== undefined ||
      (this.#table.at(host).length === 0 && (this.#startHoldLeft() > 0 || this.#isReserved(host, TCP_PREFIX)));
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
    const wait = (spot: ParkingSpot, timeoutMs: number): Promise<ParkResult> =>
      this.parking.park(spot, { ...tag, bytes, signal, timeoutMs });
    if (endpoint !== undefined) return wait(endpoint.spot, this.#deps.parkMs);
    if (this.#isReserved(tag.host, tag.target)) return this.#parkReserved(tag.host, wait);
    return wait(this.#startSpot, Math.min(this.#deps.parkMs, this.#startHoldLeft()));
  }

  /** Every reserved host has a spot of its own: one absent app must not use up the places of the others. */
  async #parkReserved(
    host: string,
    wait: (spot: ParkingSpot, timeoutMs: number) => Promise<ParkResult>,
  ): Promise<ParkResult> {
    const spot = this.#reservedSpots.get(host) ?? new ParkingSpot();
    this.#reservedSpots.set(host, spot);
    try {
      return await wait(spot, this.#deps.parkMs);
    } finally {
      if (spot.waiters.size === 0 && this.#reservedSpots.get(host) === spot) this.#reservedSpots.delete(host);
    }
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
      if (decision.action === "refuse") return this.#refuse(decision.why, endpoint, owner);
      if (decision.action === "join" && endpoint !== undefined && !this.#admitsRules(endpoint, owner, wish))
        return this.#refuse("rules-differ", endpoint, owner);
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
      await probe(endpoint?.members ?? [], answers);
      if (owner.isClosed) return refusal("ERR_GGROK_SESSION_LOST", "the session ended while the holder was asked");
    }
    return this.#refuse("held", this.#table.get(place), owner);
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
    for (const spot of [this.#startSpot, ...this.#reservedSpots.values()]) this.parking.release(spot, "offline");
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
    for (const spot of [this.#startSpot, ...this.#reservedSpots.values()])
      this.parking.release(spot, "ready", (tag) => this.#table.locate(tag.host, tag.target) === endpoint);
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

  #refuse(why: Refusal | "rules-differ", endpoint: Endpoint | undefined, owner: Owner): BindOutcome {
    const url = endpoint?.url ?? "the name";
    const holder = why === "other-token" ? undefined : endpoint?.members[0]?.owner.label;
    const by = holder ?? "another agent";
    const isAnonymous = endpoint?.members.some((member) => isAnonymousOwner(member.owner.principal)) === true;
    if (why === "older-claim")
      return refusal("ERR_GGROK_TAKEN_OVER", `${url} was taken over by ${by}, which was started later`, holder);
    const reasons: Readonly<Record<Exclude<Refusal, "older-claim"> | "rules-differ", string>> = {
      "rules-differ": `${url} is shared with ${by}, which has other rules for visitors: those who pool need the same flags`,
      "other-token": isAnonymous
        ? `${url} belongs to another agent, and without a token nobody can show that it is the same owner's: --takeover and --pooling-enabled work between agents with one token`
        : `${url} belongs to another token`,
      "pooling-differs": `${url} is held by ${by}, and pooling must be on for both or for neither`,
      held: `${url} is held by ${by}, which is online; take it with --takeover or share it with --pooling-enabled`,
      frozen: `${url} changed hands too often between ${by} and ${owner.label}; ${by} keeps it for a minute`,
    };
    return refusal("ERR_GGROK_NAME_TAKEN", reasons[why], holder);
  }

  /** A place for an agent that asked for none; undefined when its token leaves the choice to it. */
  #choosePlace(owner: Owner, { bind, tcp }: BindWish): { place: Place; isGenerated: boolean } | undefined {
    // A process whose `bound` was lost asks again with the same number and must get the same name.
    for (const [other, owned] of this.#owned) {
      const endpoint = owned.get(bind);
      if (endpoint === undefined || other.instance !== owner.instance || other.principal !== owner.principal) continue;
      if (endpoint.members.some((member) => member.owner === other && member.bind === bind && member.isGenerated))
        return { place: endpoint.place, isGenerated: true };
    }
    const draw = this.#deps.drawName ?? generateName;
    for (;;) {
      const chosen = chooseName(owner.rights.nameGlobs, draw);
      if (chosen === undefined) return undefined;
      const { domain } = this.#deps.names;
      const host = chosen.name.includes(".") || domain === undefined ? chosen.name : `${chosen.name}.${domain}`;
      const place = { host, prefix: tcp === undefined ? "" : TCP_PREFIX };
      if (!chosen.isRandom) return { place, isGenerated: false };
      if (this.#table.at(host).length === 0 && !this.#deps.reservations.isTaken(place))
        return { place, isGenerated: true };
    }
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
    return other === undefined ? undefined : this.#refuse("other-token", other, owner);
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

  /** A store that fails must not take requests down with it. */
  #isReserved(host: string, target: string): boolean {
    try {
      return this.#deps.reservations.isKnown(host, target);
    } catch (error) {
      this.#deps.logger.error({ err: error }, "the store failed; a name is taken for unknown");
      return false;
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

  #startHoldLeft(): number {
    return this.#startedAt + this.#deps.holdMs - this.#deps.now();
  }
}

async function probe(members: readonly Member[], answers: Map<Owner, boolean>): Promise<void> {
  await Promise.all(
    members.map(async ({ owner }) => {
      if (owner.isAway || answers.has(owner)) return;
      const answered = await owner.session.ping(RELAY_LIMITS.holderPingTimeoutMs).then(
        () => true,
        () => false,
      );
      answers.set(owner, answered);
    }),
  );
}

function refusal(code: ErrorCode, message: string, holder?: string): BindOutcome {
  return { refused: { code, message, holder } };
}

function hostOf(authority: string): string {
  return authority.replace(/:\d+$/u, "").toLowerCase();
}
