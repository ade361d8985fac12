import { randomBytes } from "node:crypto";
import { type ControlMessage, GgrokError, type Hello, type Transport, type Welcome } from "@ggrok/protocol";
import { DialError, type DialOptions, dial } from "./dial.ts";
import type { EventHub } from "./events.ts";
import { greet } from "./greet.ts";
import { accountOf, canResume, createHello, createLink, type Link, type LinkHandler } from "./link.ts";
import { MOVE_GRACE_MS, ReconnectPace } from "./reconnect-pace.ts";
import { type Phase, RECONNECT_TABLE, type ReconnectEvent } from "./reconnect-state.ts";
import type { Tunnel, TunnelSpec } from "./tunnel.ts";
import { TunnelSet } from "./tunnel-set.ts";
import { watchWake } from "./wake.ts";

/** How long open exchanges may take to finish when the agent stops, milliseconds. */
export const STOP_GRACE_MS = 10_000;
/** A wake's question must be answered within this, milliseconds; the link may be dead without either end knowing. */
const WAKE_PING_TIMEOUT_MS = 2_000;

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

type Drain = Extract<ControlMessage, { type: "drain" }>;

/** Why the agent dials again, for the event and the pause. */
interface Setback {
  readonly reason: string;
  readonly afterMs?: number;
  readonly error?: GgrokError;
}

/**
 * Keeps one relay reached: dials, resumes or replaces the session, moves when the relay drains, and ends for good only
 * when the user says so or when trying again cannot help. What the tunnels are granted on it is `TunnelSet`'s. A state
 * machine that reads better whole.
 */
export class Agent {
  /** Resolves when every tunnel is online for the first time; rejects when the agent ended before. */
  readonly ready: Promise<void>;
  /** Resolves when all is over: undefined after `close()`, else what ended it. */
  readonly ended: Promise<GgrokError | undefined>;

  readonly #o: AgentOptions;
  readonly #instance = randomBytes(16).toString("base64url");
  readonly #pace: ReconnectPace;
  readonly #tunnels: TunnelSet;
  readonly #leaving = new Set<Link>();
  readonly #readyResolvers = Promise.withResolvers<void>();
  readonly #endedResolvers = Promise.withResolvers<GgrokError | undefined>();
  #phase: Phase = "idle";
  #link: Link | undefined;
  #previous: Hello["previous"];
  #try: AbortController | undefined;
  #pauseTimer: NodeJS.Timeout | undefined;
  #holdTimer: NodeJS.Timeout | undefined;
  #attempt = 0;
  #isMoving = false;
  #wake: { stop(): void } | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: AgentOptions) {
    this.#o = options;
    this.#pace = new ReconnectPace(options.random ?? Math.random);
    this.#tunnels = new TunnelSet({
      events: options.events,
      onNotice: options.onNotice,
      onComplete: () => {
        this.#finishMove();
        this.#readyResolvers.resolve();
      },
      onEnd: (error) => this.#step("refused", { reason: error.message, error }),
    });
    for (const spec of options.tunnels) this.#tunnels.create(spec);
    this.ready = this.#readyResolvers.promise;
    this.ended = this.#endedResolvers.promise;
    // Whoever only waits for the end must not die of a readiness nobody asked about.
    this.ready.catch(() => {});
  }

  /** The tunnels it keeps, in the order in which they were asked for. */
  get tunnels(): readonly Tunnel[] {
    return this.#tunnels.all;
  }
  /** True while the session works and every tunnel is bound. */
  get isOnline(): boolean {
    return this.#tunnels.isOnline && this.#phase !== "stopped";
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
    const tunnel = this.#tunnels.create(spec);
    if (this.#phase === "online") this.#tunnels.ask(tunnel);
    return tunnel;
  }

  /** Gives one name back. Its open exchanges go on, as those of every other tunnel do. */
  remove(tunnel: Tunnel): void {
    this.#tunnels.remove(tunnel);
  }

  /** Says anew what a tunnel leads to, where that has changed. */
  announce(tunnel: Tunnel): void {
    if (tunnel.isOnline) this.#tunnels.announce(tunnel);
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
        if (event === "refused") this.#end(errorOf(setback), STOP_GRACE_MS);
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
    const resumed = canResume(held) ? held : undefined;
    const { userAgent: software, agentId, label } = this.#o;
    const hello = createHello(
      { software, agentId, instance: this.#instance, label },
      { attempt, resumed, previous: this.#previous },
    );
    await greet(transport, hello, (welcome) => this.#onWelcome(transport, welcome, attempt, resumed), signal);
  }

  #onDialFailed(error: unknown): void {
    const failure = error instanceof DialError ? error : undefined;
    const reason = error instanceof Error ? error.message : String(error);
    this.#pace.failed();
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
      resumed.since = undefined;
      this.#isMoving = false;
      resumed.session.attach(transport, { peerReceived: welcome.received });
    } else {
      const old = this.#link;
      const isMove = this.#isMoving;
      this.#previous = undefined;
      this.#isMoving = false;
      const link = createLink(welcome, this.#linkHandler);
      this.#link = link;
      if (old !== undefined && isMove) this.#leaving.add(old);
      else old?.session.destroy(new GgrokError("ERR_GGROK_SESSION_LOST"));
      link.session.attach(transport);
      this.#tunnels.useLink(link);
    }
    this.#step("welcomed", { reason: "welcome" });
    this.#o.events.emit("session.online", { attempt, resumed: isResumed });
    if (isResumed) this.#tunnels.resume();
  }

  readonly #linkHandler: LinkHandler = {
    onStream: (stream, head, fin) => this.#tunnels.dispatch(stream, head, fin),
    onControl: (link, message) => {
      if (link !== this.#link) return;
      if (message.type === "drain") this.#onDrain(message);
      else this.#tunnels.onControl(message);
    },
    onLost: (link) => {
      if (link === this.#link) this.#onLost(link);
    },
    onDraining: (link) => {
      // A GOAWAY that came without a word before it means the same.
      if (link === this.#link) this.#onDrain({ type: "drain", reason: "the relay ends the session", reconnect: "now" });
    },
    onClosed: (link, error) => this.#onClosed(link, error),
  };

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
    this.#previous = accountOf(link);
    this.#tunnels.dropLink();
    this.#afterLoss(link, error.message);
  }

  #afterLoss(link: Link, reason: string): void {
    if (this.#phase === "stopped") return;
    const wasMoving = this.#isMoving;
    this.#isMoving = false;
    if (this.#phase === "online") this.#pace.lost(link.since, performance.now());
    this.#tunnels.offline("session-lost");
    if (wasMoving) this.#o.events.emit("session.reconnecting", { attempt: this.#attempt + 1, delayMs: 0, reason });
    this.#step("lost", { reason });
  }

  #pause(setback: Setback): void {
    if (!this.#o.retry && !this.#isMoving) {
      this.#step("refused", { reason: setback.reason, error: errorOf(setback) });
      return;
    }
    const isHeld = this.#link?.session.isResumable === true;
    const delayMs = this.#pace.pauseMs(
      { isMoving: this.#isMoving, isHeld, afterMs: setback.afterMs },
      performance.now(),
    );
    if (!this.#isMoving)
      this.#o.events.emit("session.reconnecting", { attempt: this.#attempt + 1, delayMs, reason: setback.reason });
    clearTimeout(this.#pauseTimer);
    this.#pauseTimer = setTimeout(() => this.#step("due", { reason: "due" }), delayMs);
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

  #onDrain(drain: Drain): void {
    if (this.#phase !== "online") return;
    if (drain.reconnect === "never") {
      this.#step("refused", {
        reason: drain.reason,
        error: new GgrokError("ERR_GGROK_RELAY_DRAINING", { message: `the relay ended the session: ${drain.reason}` }),
      });
      return;
    }
    this.#isMoving = true;
    this.#pace.drained(performance.now());
    this.#step("move", { reason: drain.reason, afterMs: drain.afterMs ?? 0 });
  }

  /** The new session has all names: now the old one may end. */
  #finishMove(): void {
    for (const link of this.#leaving) {
      if (link.session.state === "lost") link.session.destroy(new GgrokError("ERR_GGROK_SESSION_LOST"));
      else void link.session.close(MOVE_GRACE_MS);
    }
  }

  // ---- the end

  #end(error: GgrokError | undefined, graceMs: number): void {
    if (this.#closing !== undefined) return;
    this.#try?.abort(new Error("the agent stops"));
    clearTimeout(this.#pauseTimer);
    clearTimeout(this.#holdTimer);
    this.#tunnels.stop();
    this.#wake?.stop();
    if (error !== undefined) this.#o.events.emit("error", { code: error.code, message: error.message });
    this.#closing = this.#closeSessions(graceMs).then(() => {
      this.#tunnels.offline("closed");
      this.#readyResolvers.reject(
        error ?? new GgrokError("ERR_GGROK_SESSION_LOST", { message: "the tunnel was closed before it was online" }),
      );
      this.#endedResolvers.resolve(error);
    });
  }

  async #closeSessions(graceMs: number): Promise<void> {
    const link = this.#link;
    if (link !== undefined && link.session.state !== "lost") {
      this.#tunnels.giveBack();
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

function errorOf({ error, reason }: Setback): GgrokError {
  return error ?? new GgrokError("ERR_GGROK_RELAY_UNREACHABLE", { message: reason });
}
