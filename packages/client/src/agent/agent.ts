import { randomBytes } from "node:crypto";
import {
  CAPABILITIES,
  type ControlMessage,
  GgrokError,
  type Hello,
  LIMITS,
  type MuxStream,
  type OpenHead,
  ResetCode,
  Session,
  type Transport,
  type Welcome,
} from "@ggrok/protocol";
import { backoffDelayMs } from "./backoff.ts";
import { createClaimClock } from "./claim-clock.ts";
import { DialError, type DialOptions, dial } from "./dial.ts";
import type { EventHub } from "./events.ts";
import { asErrorCode, greet } from "./greet.ts";
import { type Phase, RECONNECT_TABLE, type ReconnectEvent } from "./reconnect-state.ts";
import { Tunnel, type TunnelSpec } from "./tunnel.ts";
import { watchWake } from "./wake.ts";

/** How long open exchanges may take to finish when the agent stops, milliseconds. */
export const STOP_GRACE_MS = 10_000;
/** A wake's question must be answered within this, milliseconds; the link may be dead without either end knowing. */
const WAKE_PING_TIMEOUT_MS = 2_000;
/** A relay that drops its agents within this time, milliseconds, again and again, is not hammered … */
const SHORT_SESSION_MS = 1_000;
/** … but a link that is merely bad must not push the next try beyond the hold: pauses grow to 4 s, as after two failures. */
const MAX_SHORT_SESSIONS = 2;
/** Failures that count for the pause while a session waits to be resumed: tries are at most 2 s apart. */
const HELD_FAILURES_MAX = 1;
/** How long streams of the old session may go on after a move when the relay names no deadline, milliseconds. */
const MOVE_GRACE_MS = 25_000;

/** What an agent is made of. */
export interface AgentOptions extends DialOptions {
  /** The id that owns names, from `loadAgentId`. */
  readonly agentId: string;
  /** Shown to holders of the same token: who holds a name. */
  readonly label: string;
  readonly tunnels: readonly TunnelSpec[];
  /** False: the first failure is the end. */
  readonly retry: boolean;
  readonly events: EventHub;
  /** A line for people, where something went another way than asked. */
  readonly onNotice?: (text: string) => void;
  readonly random?: () => number;
  /** Opens the connection; `dial` unless given. */
  readonly connect?: (options: DialOptions, signal: AbortSignal) => Promise<Transport>;
}

type Bound = Extract<ControlMessage, { type: "bound" }>;
type BindRefused = Extract<ControlMessage, { type: "bind-refused" }>;
type Unbound = Extract<ControlMessage, { type: "unbound" }>;
type Drain = Extract<ControlMessage, { type: "drain" }>;

/** One authenticated life at a relay: the session and what proves that a new connection continues it. */
interface Link {
  readonly session: Session;
  welcome: Welcome;
  since: number;
}

/** Why the agent dials again, for the event and the pause. */
interface Setback {
  readonly reason: string;
  readonly afterMs?: number;
  readonly error?: GgrokError;
}

/**
 * Keeps tunnels at one relay: dials, resumes or replaces the session, moves when the relay drains, and ends for good
 * only when the user says so or when trying again cannot help. Reads better whole: it is one state machine.
 */
export class Agent {
  /** Resolves when every tunnel is online for the first time; rejects when the agent ended before. */
  readonly ready: Promise<void>;
  /** Resolves when all is over: undefined after `close()`, else what ended it. */
  readonly ended: Promise<GgrokError | undefined>;

  readonly #o: AgentOptions;
  readonly #instance = randomBytes(16).toString("base64url");
  readonly #clock = createClaimClock();
  readonly #tunnels: Tunnel[] = [];
  readonly #byBind = new Map<number, Tunnel>();
  readonly #leaving = new Set<Link>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #readyResolvers = Promise.withResolvers<void>();
  readonly #endedResolvers = Promise.withResolvers<GgrokError | undefined>();
  #phase: Phase = "idle";
  #lastBind = 0;
  #hasBeenReady = false;
  #link: Link | undefined;
  #previous: Hello["previous"];
  #try: AbortController | undefined;
  #pauseTimer: NodeJS.Timeout | undefined;
  #holdTimer: NodeJS.Timeout | undefined;
  #attempt = 0;
  #failures = 0;
  #shortSessions = 0;
  #isMoving = false;
  #drainedAt = Number.NEGATIVE_INFINITY;
  #wake: { stop(): void } | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: AgentOptions) {
    this.#o = options;
    for (const spec of options.tunnels) this.#create(spec);
    this.ready = this.#readyResolvers.promise;
    this.ended = this.#endedResolvers.promise;
    // Whoever only waits for the end must not die of a readiness nobody asked about.
    this.ready.catch(() => {});
  }

  /** The tunnels it keeps, in the order in which they were asked for. */
  get tunnels(): readonly Tunnel[] {
    return this.#tunnels;
  }
  /** True while the session works and every tunnel is bound. */
  get isOnline(): boolean {
    return this.tunnels.every((tunnel) => tunnel.isOnline) && this.#phase !== "stopped";
  }
  /** What the agent is doing. */
  get phase(): Phase {
    return this.#phase;
  }
  /** Latest round trip to the relay in milliseconds. */
  get latencyMs(): number | undefined {
    return this.#link?.session.rttMs;
  }
  /** The relay's own version, once known. */
  get relayVersion(): string | undefined {
    return this.#link?.welcome.version;
  }

  /** Starts dialling. */
  start(): void {
    this.#wake ??= watchWake((reason) => this.#step("wake", { reason }));
    this.#step("start", { reason: "start" });
  }

  /** Adds a tunnel to the running session. One that cannot be had is given up again, the others go on. */
  add(spec: TunnelSpec): Tunnel {
    const tunnel = this.#create(spec);
    const link = this.#link;
    if (this.#phase === "online" && link !== undefined) this.#bind(link, tunnel);
    return tunnel;
  }

  /** Gives one name back. Its open exchanges go on, as those of every other tunnel do. */
  remove(tunnel: Tunnel): void {
    if (!this.#forget(tunnel)) return;
    if (tunnel.wasBound || this.#phase === "online")
      this.#link?.session.sendControl({ type: "unbind", bind: tunnel.bind });
    this.#announceOffline(tunnel, "closed");
    this.#checkReady();
  }

  /** Says anew what a tunnel leads to, where that has changed. */
  announce(tunnel: Tunnel): void {
    if (tunnel.isOnline) this.#announce(tunnel);
  }

  /** Gives the names back, lets open exchanges finish for at most `graceMs`, and ends. */
  close(graceMs: number = STOP_GRACE_MS): Promise<void> {
    if (this.#phase !== "stopped") {
      this.#step("stop", { reason: "closed" });
      this.#end(undefined, graceMs);
    }
    return this.#closing ?? Promise.resolve();
  }

  /** Ends now: open exchanges break. */
  destroy(): void {
    void this.close(0);
    for (const link of [...this.#leaving, ...(this.#link === undefined ? [] : [this.#link])]) {
      link.session.destroy(new GgrokError("ERR_GGROK_SESSION_LOST"));
    }
  }

  #step(event: ReconnectEvent, setback: Setback): void {
    const { next, action } = RECONNECT_TABLE[this.#phase][event];
    this.#phase = next;
    switch (action) {
      case "none":
        return;
      case "dial":
        this.#dial();
        return;
      case "redial":
        this.#try?.abort(new Error(setback.reason));
        this.#dial();
        return;
      case "pause":
        this.#pause(setback);
        return;
      case "probe":
        this.#probe(setback.reason);
        return;
      case "end":
        if (event === "refused")
          this.#end(
            setback.error ?? new GgrokError("ERR_GGROK_RELAY_UNREACHABLE", { message: setback.reason }),
            STOP_GRACE_MS,
          );
        return;
    }
  }

  // ---- dialling

  #dial(): void {
    clearTimeout(this.#pauseTimer);
    const controller = new AbortController();
    this.#try = controller;
    this.#attempt += 1;
    if (!this.#isMoving) this.#o.events.emit("session.connecting", { attempt: this.#attempt });
    this.#connect(this.#attempt, controller.signal).catch((error: unknown) => {
      if (controller.signal.aborted) return;
      this.#onDialFailed(error);
    });
  }

  async #connect(attempt: number, signal: AbortSignal): Promise<void> {
    const transport = await (this.#o.connect ?? dial)(this.#o, signal);
    if (signal.aborted) {
      transport.destroy();
      return;
    }
    const held = this.#isMoving ? undefined : this.#link;
    const resumed = held !== undefined && held.session.state === "lost" && held.session.isResumable ? held : undefined;
    const hello: Hello = {
      type: "hello",
      role: "agent",
      software: this.#o.userAgent,
      agentId: this.#o.agentId,
      instance: this.#instance,
      attempt,
      slot: 0,
      capabilities: [CAPABILITIES.Resume],
      window: LIMITS.REQUEST_WINDOW_INITIAL_BYTES,
      maxStreams: LIMITS.STREAMS_MAX,
      label: this.#o.label,
      ...(resumed !== undefined && {
        resume: { session: resumed.session.id, secret: resumed.welcome.secret, received: resumed.session.detach() },
      }),
      ...(resumed === undefined && this.#previous !== undefined && { previous: this.#previous }),
    };
    await greet(transport, hello, (welcome) => this.#onWelcome(transport, welcome, attempt, resumed), signal);
  }

  #onDialFailed(error: unknown): void {
    const failure = error instanceof DialError ? error : undefined;
    const reason = error instanceof Error ? error.message : String(error);
    this.#failures += 1;
    // "Superseded" says that a later try of this very process got through: one with a higher number settles it.
    if (failure?.isFinal === true && failure.error.code !== "ERR_GGROK_SUPERSEDED") {
      this.#step("refused", { reason, error: failure.error });
      return;
    }
    this.#step("failed", { reason, ...(failure !== undefined && { afterMs: failure.afterMs, error: failure.error }) });
  }

  #onWelcome(transport: Transport, welcome: Welcome, attempt: number, resumed: Link | undefined): void {
    clearTimeout(this.#holdTimer);
    const isResumed = welcome.resumed && resumed !== undefined && resumed === this.#link;
    if (isResumed) {
      resumed.welcome = welcome;
      // A link that breaks again and again is no relay that throws us out: only fresh sessions count as short.
      resumed.since = Number.NEGATIVE_INFINITY;
      this.#isMoving = false;
      resumed.session.attach(transport, { peerReceived: welcome.received });
    } else {
      const old = this.#link;
      const isMove = this.#isMoving;
      this.#previous = undefined;
      this.#isMoving = false;
      const link = this.#createLink(welcome);
      this.#link = link;
      if (old !== undefined && isMove) this.#leaving.add(old);
      else old?.session.destroy(new GgrokError("ERR_GGROK_SESSION_LOST"));
      link.session.attach(transport);
      for (const tunnel of this.tunnels) this.#bind(link, tunnel);
    }
    this.#step("welcomed", { reason: "welcome" });
    this.#o.events.emit("session.online", { attempt, resumed: isResumed });
    if (isResumed) for (const tunnel of this.tunnels) if (tunnel.resumed()) this.#announce(tunnel);
  }

  #createLink(welcome: Welcome): Link {
    const session: Session = new Session({
      side: "dialler",
      id: welcome.session,
      resumable: welcome.capabilities.includes(CAPABILITIES.Resume),
      localWindow: LIMITS.REQUEST_WINDOW_INITIAL_BYTES,
      peerWindow: welcome.window,
      peerMaxStreams: welcome.maxStreams,
      localMaxStreams: LIMITS.STREAMS_MAX,
      heartbeat: welcome.heartbeat,
      handler: {
        onStream: (stream, head, fin) => this.#onStream(stream, head, fin),
        onControl: (message) => this.#onControl(link, message),
        onState: (state) => {
          if (link !== this.#link) return;
          if (state === "lost") this.#onLost(link);
          // A GOAWAY that came without a word before it means the same.
          if (state === "draining")
            this.#onDrain(link, { type: "drain", reason: "the relay ends the session", reconnect: "now" });
        },
        onClosed: (error) => this.#onClosed(link, error),
      },
    });
    const link: Link = { session, welcome, since: performance.now() };
    return link;
  }

  // ---- losing and moving

  #onLost(link: Link): void {
    // The relay holds the session this long; after that nothing could come of it.
    clearTimeout(this.#holdTimer);
    this.#holdTimer = setTimeout(() => {
      if (link.session.state === "lost") link.session.destroy(new GgrokError("ERR_GGROK_SESSION_LOST"));
    }, link.welcome.holdMs);
    this.#afterLoss(link, "the connection to the relay broke");
  }

  #onClosed(link: Link, error: GgrokError): void {
    if (this.#leaving.delete(link) || link !== this.#link) return;
    this.#link = undefined;
    this.#previous = {
      session: link.session.id,
      secret: link.welcome.secret,
      lastStream: link.session.lastRemoteId,
      // What is left out counts as given, which is safe.
      undispatched: link.session.undispatched().slice(0, LIMITS.UNDISPATCHED_MAX),
    };
    this.#afterLoss(link, error.message);
  }

  #afterLoss(link: Link, reason: string): void {
    if (this.#phase === "stopped") return;
    const wasMoving = this.#isMoving;
    this.#isMoving = false;
    if (this.#phase === "online") {
      this.#failures = this.#shortSessions;
      const isShort = performance.now() - link.since < SHORT_SESSION_MS;
      this.#shortSessions = isShort ? Math.min(MAX_SHORT_SESSIONS, this.#shortSessions + 1) : 0;
    }
    for (const tunnel of this.tunnels) this.#announceOffline(tunnel, "session-lost");
    if (wasMoving) this.#o.events.emit("session.reconnecting", { attempt: this.#attempt + 1, delayMs: 0, reason });
    this.#step("lost", { reason });
  }

  #pause(setback: Setback): void {
    if (!this.#o.retry && !this.#isMoving) {
      const error = setback.error ?? new GgrokError("ERR_GGROK_RELAY_UNREACHABLE", { message: setback.reason });
      this.#step("refused", { reason: setback.reason, error });
      return;
    }
    const random = this.#o.random ?? Math.random;
    const isFirstMove = this.#isMoving && this.#failures === 0;
    const delayMs = isFirstMove ? (setback.afterMs ?? 0) : this.#backoffMs(random, setback.afterMs);
    if (!this.#isMoving)
      this.#o.events.emit("session.reconnecting", { attempt: this.#attempt + 1, delayMs, reason: setback.reason });
    clearTimeout(this.#pauseTimer);
    this.#pauseTimer = setTimeout(() => this.#step("due", { reason: "due" }), delayMs);
  }

  /**
   * While the session can be resumed, visitors are parked at the relay, and soon after a drain at the next one, which may be
   * there any moment: the tries stay close together.
   */
  #backoffMs(random: () => number, afterMs: number | undefined): number {
    const isHeld = this.#link?.session.isResumable === true || performance.now() - this.#drainedAt < MOVE_GRACE_MS;
    return backoffDelayMs(isHeld ? Math.min(this.#failures, HELD_FAILURES_MAX) : this.#failures, random, afterMs);
  }

  #probe(reason: string): void {
    const link = this.#link;
    if (link === undefined) return;
    link.session.ping(WAKE_PING_TIMEOUT_MS).catch(() => {
      if (link !== this.#link || this.#phase !== "online") return;
      if (link.session.isResumable) link.session.detach();
      else link.session.destroy(new GgrokError("ERR_GGROK_SESSION_LOST", { message: `no answer after a ${reason}` }));
    });
  }

  #onDrain(link: Link, drain: Drain): void {
    if (link !== this.#link || this.#phase !== "online") return;
    if (drain.reconnect === "never") {
      this.#step("refused", {
        reason: drain.reason,
        error: new GgrokError("ERR_GGROK_RELAY_DRAINING", { message: `the relay ended the session: ${drain.reason}` }),
      });
      return;
    }
    this.#isMoving = true;
    this.#drainedAt = performance.now();
    this.#failures = 0;
    this.#step("move", { reason: drain.reason, afterMs: drain.afterMs ?? 0 });
  }

  /** The new session has all names: now the old one may end. */
  #finishMove(): void {
    for (const link of this.#leaving) {
      if (link.session.state === "lost") link.session.destroy(new GgrokError("ERR_GGROK_SESSION_LOST"));
      else void link.session.close(MOVE_GRACE_MS);
    }
  }

  // ---- what the relay says

  #onStream(stream: MuxStream, head: OpenHead, fin: boolean): void {
    const tunnel = typeof head.bind === "number" ? this.#byBind.get(head.bind) : undefined;
    if (tunnel !== undefined && head.kind === "tcp" && tunnel.spec.tcp !== undefined)
      tunnel.spec.tcp.onConnection(stream, head, fin);
    else if (tunnel !== undefined && head.kind !== "tcp" && tunnel.spec.tcp === undefined)
      tunnel.spec.onStream(stream, head, fin);
    else stream.reset(ResetCode.Refused, { notProcessed: true, message: "no such tunnel here" });
  }

  #onControl(link: Link, message: ControlMessage): void {
    if (message.type === "drain") {
      this.#onDrain(link, message);
      return;
    }
    if (link !== this.#link) return;
    if (message.type === "bound") this.#onBound(message);
    else if (message.type === "bind-refused") this.#onBindRefused(link, message);
    else if (message.type === "unbound") this.#onUnbound(message);
  }

  #onBound(message: Bound): void {
    const tunnel = this.#byBind.get(message.bind);
    if (tunnel === undefined) return;
    if (tunnel.bound(message.url, message.claim, message.portUrl)) this.#announce(tunnel);
    this.#checkReady();
  }

  #checkReady(): void {
    if (this.#phase !== "online" || !this.tunnels.every((tunnel) => tunnel.isOnline)) return;
    this.#finishMove();
    this.#hasBeenReady = true;
    this.#readyResolvers.resolve();
  }

  #onBindRefused(link: Link, message: BindRefused): void {
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
      this.#bind(link, tunnel);
      return;
    }
    if (message.retry === "after" && tunnel.wasBound) {
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        if (link === this.#link && this.#byBind.has(tunnel.bind)) this.#bind(link, tunnel);
      }, message.afterMs ?? 1_000);
      this.#timers.add(timer);
      return;
    }
    this.#lose(tunnel, error);
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
    const isOnlyOne = !this.#hasBeenReady || this.#tunnels.length === 1;
    if (wasOnline || tunnel.wasBound || !isOnlyOne)
      this.#o.events.emit("tunnel.offline", { name: tunnel.spec.name, reason });
    if (isOnlyOne) {
      this.#step("refused", { reason: error.message, error });
      return;
    }
    this.#forget(tunnel);
    this.#o.onNotice?.(`${tunnel.spec.name}: ${error.message}`);
    this.#checkReady();
  }

  #create(spec: TunnelSpec): Tunnel {
    this.#lastBind += 1;
    const tunnel = new Tunnel(spec, this.#lastBind, this.#clock);
    this.#tunnels.push(tunnel);
    this.#byBind.set(tunnel.bind, tunnel);
    return tunnel;
  }

  #forget(tunnel: Tunnel): boolean {
    const at = this.#tunnels.indexOf(tunnel);
    if (at !== -1) this.#tunnels.splice(at, 1);
    return this.#byBind.delete(tunnel.bind);
  }

  #bind(link: Link, tunnel: Tunnel): void {
    try {
      link.session.sendControl(tunnel.bindMessage(link.welcome.domain !== undefined));
    } catch (error) {
      if (!(error instanceof GgrokError)) throw error;
      // More rules than a message can carry: no other try would go better. Later, since the welcome is not dealt with yet.
      queueMicrotask(() => this.#lose(tunnel, error));
    }
  }

  #announce(tunnel: Tunnel): void {
    const { name, target } = tunnel.spec;
    this.#o.events.emit("tunnel.online", { name, url: tunnel.url ?? "", target });
    if (tunnel.portUrl !== undefined) this.#o.events.emit("tunnel.online", { name, url: tunnel.portUrl, target });
  }

  #announceOffline(tunnel: Tunnel, reason: string): void {
    if (tunnel.offline()) this.#o.events.emit("tunnel.offline", { name: tunnel.spec.name, reason });
  }

  // ---- the end

  #end(error: GgrokError | undefined, graceMs: number): void {
    if (this.#closing !== undefined) return;
    this.#try?.abort(new Error("the agent stops"));
    clearTimeout(this.#pauseTimer);
    clearTimeout(this.#holdTimer);
    for (const timer of this.#timers) clearTimeout(timer);
    this.#wake?.stop();
    if (error !== undefined) this.#o.events.emit("error", { code: error.code, message: error.message });
    this.#closing = this.#closeSessions(graceMs).then(() => {
      for (const tunnel of this.tunnels) this.#announceOffline(tunnel, "closed");
      this.#readyResolvers.reject(
        error ?? new GgrokError("ERR_GGROK_SESSION_LOST", { message: "the tunnel was closed before it was online" }),
      );
      this.#endedResolvers.resolve(error);
    });
  }

  async #closeSessions(graceMs: number): Promise<void> {
    const link = this.#link;
    if (link !== undefined && link.session.state !== "lost") {
      for (const tunnel of this.tunnels)
        if (tunnel.isOnline) link.session.sendControl({ type: "unbind", bind: tunnel.bind });
      link.session.sendControl({ type: "drain", reason: "the agent stops", reconnect: "never" });
    }
    const links = [...this.#leaving, ...(link === undefined ? [] : [link])];
    await Promise.all(
      links.map(async ({ session }) => {
        if (session.state === "lost") session.destroy(new GgrokError("ERR_GGROK_SESSION_LOST"));
        else await session.close(graceMs);
      }),
    );
  }
}

function withHolder(message: string, holder: string | undefined): string {
  return holder === undefined || message.includes(holder) ? message : `${message} (held by ${holder})`;
}
