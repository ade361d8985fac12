import { type ControlMessage, GgrokError, type MuxStream, type OpenHead, ResetCode } from "@ggrok/protocol";
import { createClaimClock } from "./claim-clock.ts";
import type { EventHub } from "./events.ts";
import { asErrorCode } from "./greet.ts";
import type { Link } from "./link.ts";
import { Tunnel, type TunnelSpec } from "./tunnel.ts";

type Bound = Extract<ControlMessage, { type: "bound" }>;
type BindRefused = Extract<ControlMessage, { type: "bind-refused" }>;
type Unbound = Extract<ControlMessage, { type: "unbound" }>;

/** What the set tells its owner. */
export interface TunnelSetOptions {
  readonly events: EventHub;
  readonly onNotice: ((text: string) => void) | undefined;
  /** The session that was last given has every name; called at each change after that, too. */
  onComplete(): void;
  /** A name is gone without which there is nothing to go on for. */
  onEnd(error: GgrokError): void;
}

/** The tunnels of one agent: asks for their names on the session it is given, and keeps what was granted and refused. */
export class TunnelSet {
  readonly #o: TunnelSetOptions;
  readonly #clock = createClaimClock();
  readonly #tunnels: Tunnel[] = [];
  readonly #byBind = new Map<number, Tunnel>();
  readonly #timers = new Set<NodeJS.Timeout>();
  /** Asked for on the present session, and which of those have no answer yet. */
  readonly #asked = new Set<Tunnel>();
  readonly #unanswered = new Set<Tunnel>();
  #lastBind = 0;
  #link: Link | undefined;
  #wasComplete = false;

  constructor(options: TunnelSetOptions) {
    this.#o = options;
  }

  /** In the order in which they were asked for. */
  get all(): readonly Tunnel[] {
    return this.#tunnels;
  }
  /** True while visitors reach every one. */
  get isOnline(): boolean {
    return this.#tunnels.every((tunnel) => tunnel.isOnline);
  }

  /** Adds a tunnel; its name is asked for with `ask`, or with those of the next session. */
  create(spec: TunnelSpec): Tunnel {
    this.#lastBind += 1;
    const tunnel = new Tunnel(spec, this.#lastBind, this.#clock);
    this.#tunnels.push(tunnel);
    this.#byBind.set(tunnel.bind, tunnel);
    return tunnel;
  }

  /** Gives one name back. Its open exchanges go on, as those of every other tunnel do. */
  remove(tunnel: Tunnel): void {
    const wasAsked = this.#asked.has(tunnel);
    if (!this.#forget(tunnel)) return;
    if (wasAsked) this.#link?.session.sendControl({ type: "unbind", bind: tunnel.bind });
    this.#announceOffline(tunnel, "closed");
    this.#checkComplete();
  }

  /** Asks for every name on a new session. Those of the session before stay online meanwhile: its streams go on. */
  useLink(link: Link): void {
    this.dropLink();
    this.#link = link;
    for (const tunnel of this.#tunnels) this.ask(tunnel);
  }

  /** The session carries on where it was; what was added meanwhile is asked for now. */
  resume(): void {
    for (const tunnel of this.#tunnels) {
      if (!this.#asked.has(tunnel)) this.ask(tunnel);
      else if (!this.#unanswered.has(tunnel) && tunnel.resumed()) this.announce(tunnel);
    }
    this.#checkComplete();
  }

  /** The session is over; what it had been asked is void. */
  dropLink(): void {
    this.#link = undefined;
    this.#asked.clear();
    this.#unanswered.clear();
  }

  /** Asks for one name on the present session. */
  ask(tunnel: Tunnel): void {
    const link = this.#link;
    if (link === undefined) return;
    this.#asked.add(tunnel);
    this.#unanswered.add(tunnel);
    try {
      link.session.sendControl(tunnel.bindMessage(link.welcome.domain !== undefined));
    } catch (error) {
      if (!(error instanceof GgrokError)) throw error;
      // More rules than a message can carry: no other try would go better. Later, since the welcome is not dealt with yet.
      queueMicrotask(() => this.#lose(tunnel, error));
    }
  }

  /** Visitors do not reach any of them now. */
  offline(reason: string): void {
    for (const tunnel of this.#tunnels) this.#announceOffline(tunnel, reason);
  }

  /** Gives every name back, and asks for none again. */
  giveBack(): void {
    for (const tunnel of this.#tunnels)
      if (tunnel.isOnline) this.#link?.session.sendControl({ type: "unbind", bind: tunnel.bind });
  }

  /** Asks for nothing any more. */
  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }

  /** Tells where a tunnel is and what it leads to. */
  announce(tunnel: Tunnel): void {
    const { name, target } = tunnel.spec;
    this.#o.events.emit("tunnel.online", { name, url: tunnel.url ?? "", target });
    if (tunnel.portUrl !== undefined) this.#o.events.emit("tunnel.online", { name, url: tunnel.portUrl, target });
  }

  /** Hands a stream to its tunnel's own handler. */
  dispatch(stream: MuxStream, head: OpenHead, fin: boolean): void {
    const tunnel = typeof head.bind === "number" ? this.#byBind.get(head.bind) : undefined;
    if (tunnel !== undefined && head.kind === "tcp" && tunnel.spec.tcp !== undefined)
      tunnel.spec.tcp.onConnection(stream, head, fin);
    else if (tunnel !== undefined && head.kind !== "tcp" && tunnel.spec.tcp === undefined)
      tunnel.spec.onStream(stream, head, fin);
    else stream.reset(ResetCode.Refused, { notProcessed: true, message: "no such tunnel here" });
  }

  /** Takes what the relay says about names; everything else is not its business. */
  onControl(message: ControlMessage): void {
    if (message.type === "bound") this.#onBound(message);
    else if (message.type === "bind-refused") this.#onBindRefused(message);
    else if (message.type === "unbound") this.#onUnbound(message);
  }

  #onBound(message: Bound): void {
    const tunnel = this.#byBind.get(message.bind);
    if (tunnel === undefined) return;
    this.#unanswered.delete(tunnel);
    if (tunnel.bound(message.url, message.claim, message.portUrl)) this.announce(tunnel);
    this.#checkComplete();
  }

  #onBindRefused(message: BindRefused): void {
    const tunnel = this.#byBind.get(message.bind);
    if (tunnel === undefined) return;
    const error = new GgrokError(asErrorCode(message.code) ?? "ERR_GGROK_NAME_TAKEN", {
      message: withHolder(message.message, message.holder),
    });
    if (tunnel.isNameOptional) {
      this.#o.onNotice?.(
        `${tunnel.spec.recalledUrl ?? ""} cannot be had any more (${error.message}); the relay chooses another name`,
      );
      tunnel.dropRecalledName();
      this.ask(tunnel);
    } else if (message.retry === "after" && tunnel.wasBound) {
      this.#askLater(tunnel, message.afterMs ?? 1_000);
    } else this.#lose(tunnel, error);
  }

  #askLater(tunnel: Tunnel, delayMs: number): void {
    const link = this.#link;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (link === this.#link && this.#byBind.has(tunnel.bind)) this.ask(tunnel);
    }, delayMs);
    this.#timers.add(timer);
  }

  #onUnbound(message: Unbound): void {
    const tunnel = this.#byBind.get(message.bind);
    if (tunnel === undefined) return;
    const code = asErrorCode(message.code) ?? "ERR_GGROK_TAKEN_OVER";
    this.#lose(
      tunnel,
      new GgrokError(code, { message: withHolder(`${tunnel.url ?? tunnel.spec.name} was taken away`, message.holder) }),
    );
  }

  /** A name is gone and fighting for it would be wrong. */
  #lose(tunnel: Tunnel, error: GgrokError): void {
    const reason = error.code === "ERR_GGROK_TAKEN_OVER" ? "taken-over" : error.code;
    const wasOnline = tunnel.offline();
    const isOnlyOne = !this.#wasComplete || this.#tunnels.length === 1;
    if (wasOnline || tunnel.wasBound || !isOnlyOne)
      this.#o.events.emit("tunnel.offline", { name: tunnel.spec.name, reason });
    if (isOnlyOne) {
      this.#o.onEnd(error);
      return;
    }
    this.#forget(tunnel);
    this.#o.onNotice?.(`${tunnel.spec.name}: ${error.message}`);
    this.#checkComplete();
  }

  #checkComplete(): void {
    if (this.#link === undefined || this.#unanswered.size > 0 || !this.isOnline) return;
    this.#wasComplete = true;
    this.#o.onComplete();
  }

  #forget(tunnel: Tunnel): boolean {
    const at = this.#tunnels.indexOf(tunnel);
    if (at !== -1) this.#tunnels.splice(at, 1);
    this.#asked.delete(tunnel);
    this.#unanswered.delete(tunnel);
    return this.#byBind.delete(tunnel.bind);
  }

  #announceOffline(tunnel: Tunnel, reason: string): void {
    if (tunnel.offline()) this.#o.events.emit("tunnel.offline", { name: tunnel.spec.name, reason });
  }
}

function withHolder(message: string, holder: string | undefined): string {
  return holder === undefined || message.includes(holder) ? message : `${message} (held by ${holder})`;
}
