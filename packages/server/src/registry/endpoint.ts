import type {
  ErrorCode,
  HttpOpenHead,
  MuxStream,
  OpenHead,
  SessionState,
  StreamHandler,
  TcpOpenHead,
} from "@ggrok/protocol";
import { VisitorGate } from "../gate/gate.ts";
import type { VisitorRules } from "../gate/rules.ts";
import type { Place, RelayOrigin } from "./names.ts";
import type { OwnershipRecord } from "./ownership.ts";
import { ParkingSpot } from "./parking.ts";
import type { BindRights } from "./rights.ts";
import type { TcpRules } from "./tcp-rules.ts";

/** What the registry needs of a session; a peer relay can be one too. */
export interface StreamOpener {
  readonly state: SessionState;
  readonly canOpen: boolean;
  readonly streamCount: number;
  open(head: OpenHead, handler: StreamHandler, o: { fin: boolean }): MuxStream;
  ping(timeoutMs: number): Promise<number>;
}

/** Whoever holds endpoints: one connection of one agent process. */
export interface Owner {
  readonly principal: string;
  readonly rights: BindRights;
  readonly agentId: string;
  readonly instance: string;
  readonly slot: number;
  /** Host and user, shown only to the same token. */
  readonly label: string;
  readonly session: StreamOpener;
  /** Its session is lost or closed, its names are held. */
  readonly isAway: boolean;
  /** It will not come back: a bind that waited for something must not go on. */
  readonly isClosed: boolean;
  readonly origin: RelayOrigin;
  /** Tells the agent that an endpoint is no longer its own. */
  unbound(bind: number, code: ErrorCode, holder: string | undefined): void;
}

/** One owner's part in an endpoint. */
export interface Member {
  readonly owner: Owner;
  /** The agent's number for it. */
  readonly bind: number;
  readonly claim: number;
  readonly pooling: boolean;
  readonly stripPrefix: boolean;
  /** The relay chose the name. */
  readonly isGenerated: boolean;
  /** Who may connect, of a TCP tunnel. */
  readonly tcp?: TcpRules;
  /** Who may come in, of a tunnel of HTTP. */
  readonly visitors?: VisitorRules;
}

/** What a member says about visitors, equal for equal rules. */
export function rulesKeyOf(member: Pick<Member, "tcp" | "visitors">): string {
  return `${member.tcp?.key ?? ""} ${member.visitors?.key ?? ""}`;
}

/** A public place and those who serve it. */
export class Endpoint {
  readonly place: Place;
  readonly url: string;
  readonly spot = new ParkingSpot();
  members: readonly Member[] = [];
  changes: readonly number[] = [];
  #gate: VisitorGate | undefined;
  /** The raw public port of a TCP tunnel; undefined where the relay has none to give. */
  publicPort: Promise<number | undefined> | undefined;

  constructor(place: Place, url: string) {
    this.place = place;
    this.url = url;
  }

  get stripPrefix(): string | undefined {
    return this.place.prefix !== "" && this.members.some((member) => member.stripPrefix)
      ? this.place.prefix
      : undefined;
  }

  /** What visitors pass before they reach a member; undefined when there are no rules. */
  get gate(): VisitorGate | undefined {
    return this.#gate;
  }

  /** Adds a member, whose rules are the endpoint's from now on. */
  join(member: Member): void {
    // Not by spreading, which leaves room for 16 more.
    this.members = this.members.concat(member);
    if (this.#gate?.key === member.visitors?.key) return;
    this.#gate = member.visitors === undefined ? undefined : new VisitorGate(member.visitors);
  }

  /** True when a session is up, though it may have no stream to give. */
  get isOnline(): boolean {
    return this.members.some((member) => member.owner.session.state === "open");
  }

  get canOpen(): boolean {
    return this.members.some((member) => member.owner.session.canOpen);
  }

  /** Opens on the least-loaded session that can; undefined when none can. */
  open(head: Omit<HttpOpenHead, "bind">, handler: StreamHandler, o: { fin: boolean }): MuxStream | undefined {
    const member = this.#leastLoaded();
    if (member === undefined) return undefined;
    const { bind } = member;
    const { kind, requestId, method, target, version, fields, meta } = head;
    const openHead: HttpOpenHead = { kind, bind, requestId, method, target, version, fields };
    if (meta !== undefined) openHead.meta = meta;
    return member.owner.session.open(openHead, handler, o);
  }

  /** The same for one connection of a TCP tunnel. */
  openTcp(head: Omit<TcpOpenHead, "bind">, handler: StreamHandler): MuxStream | undefined {
    const member = this.#leastLoaded();
    return member?.owner.session.open({ ...head, bind: member.bind }, handler, { fin: false });
  }

  #leastLoaded(): Member | undefined {
    let best: Member | undefined;
    for (const member of this.members) {
      const { session } = member.owner;
      if (session.canOpen && (best === undefined || session.streamCount < best.owner.session.streamCount))
        best = member;
    }
    return best;
  }

  /** What the ownership table looks at. */
  record(answers: ReadonlyMap<Owner, boolean>): OwnershipRecord {
    return {
      changes: this.changes,
      holders: this.members.map(({ owner, claim, pooling }) => ({
        principal: owner.principal,
        agentId: owner.agentId,
        instance: owner.instance,
        claim,
        pooling,
        isAway: owner.isAway,
        answers: answers.get(owner),
      })),
    };
  }
}
