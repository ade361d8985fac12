import {
  type ControlMessage,
  type ErrorCode,
  GgrokError,
  type Hello,
  ResetCode,
  Session,
  type SessionOptions,
  type SessionState,
  type Transport,
} from "@ggrok/protocol";
import type { Principal } from "../auth/principal.ts";
import { parseVisitorRules } from "../gate/rules.ts";
import { RELAY_LIMITS } from "../limits.ts";
import { escapeControls } from "../observability/escape.ts";
import { type Logger, logEvent } from "../observability/logger.ts";
import { countCode, type Metrics } from "../observability/metrics.ts";
import type { Owner } from "../registry/endpoint.ts";
import type { RelayOrigin } from "../registry/names.ts";
import type { Registry } from "../registry/registry.ts";
import { parseTcpRules } from "../registry/tcp-rules.ts";
import { SessionSecret } from "./session-secret.ts";

type BindMessage = Extract<ControlMessage, { type: "bind" }>;

/** What agents share with each other. */
export interface AgentDeps {
  readonly registry: Registry;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly holdMs: number;
  readonly parkMs: number;
}

/** What one agent is made from. */
export interface AgentOptions {
  readonly id: string;
  readonly principal: Principal;
  readonly hello: Hello;
  /** The secret of the first welcome. */
  readonly secret: string;
  readonly origin: RelayOrigin;
  readonly session: Omit<SessionOptions, "handler" | "id" | "side">;
  /** The connection of the same process and slot that this one supersedes. */
  readonly predecessor: Agent | undefined;
  /** Called once, when nothing of the agent is held any more. */
  readonly onGone: (agent: Agent) => void;
}

// Escaping lengthens; these are what one message may carry.
const MAX_LABEL_CHARACTERS = 256;
const MAX_REASON_CHARACTERS = 1_000;
// Longer than any exchange: the session that an agent has left waits for its last stream, however long that takes.
const PATIENT_CLOSE_MS = 2_147_483_647;

/**
 * One agent process on one slot: its session, the names it holds, and what becomes of both when the connection breaks.
 * The names outlive the session by the hold time. A state machine that reads better whole.
 */
export class Agent implements Owner {
  readonly id: string;
  readonly principal: string;
  readonly rights: Principal;
  readonly agentId: string;
  readonly instance: string;
  readonly slot: number;
  readonly label: string;
  readonly origin: RelayOrigin;
  readonly session: Session;
  /** Which dial of its process this connection is; a lower one is late and refused. */
  attempt: number;
  readonly #deps: AgentDeps;
  readonly #onGone: (agent: Agent) => void;
  /** Binds that the registry has not decided yet. */
  #pending: readonly PendingBind[] = [];
  readonly #secret: SessionSecret;
  #parkTimer: NodeJS.Timeout | undefined;
  #holdTimer: NodeJS.Timeout | undefined;
  #predecessor: Agent | undefined;
  #isLeaving = false;
  #isGone = false;

  constructor(options: AgentOptions, deps: AgentDeps) {
    const { hello } = options;
    this.id = options.id;
    this.principal = options.principal.id;
    this.rights = options.principal;
    this.agentId = hello.agentId;
    this.instance = hello.instance;
    this.slot = hello.slot;
    this.attempt = hello.attempt;
    // Shown in logs and to the other agents of the token: it must not drive their terminals.
    this.label = escapeControls(hello.label ?? "an agent without a label").slice(0, MAX_LABEL_CHARACTERS);
    this.origin = options.origin;
    this.#secret = new SessionSecret(options.secret);
    this.#deps = deps;
    this.#onGone = options.onGone;
    this.#predecessor = options.predecessor;
    this.session = new Session({
      ...options.session,
      id: options.id,
      side: "listener",
      handler: {
        onStream: (stream) => stream.reset(ResetCode.Refused),
        onControl: (message) => this.#onControl(message),
        onState: (state, previous) => this.#onState(state, previous),
        onClosed: (error) => this.#onClosed(error),
      },
    });
  }

  get isAway(): boolean {
    return this.session.state === "lost" || this.session.state === "closed";
  }

  get isClosed(): boolean {
    return this.#isGone || this.session.state === "closed";
  }

  /** The secret of the welcome that answers `shown`. */
  rotateSecret(shown: string): string {
    return this.#secret.rotate(shown, this.session.received);
  }

  /** Whether the secret shows that a connection continues this session. */
  knowsSecret(secret: string): boolean {
    return this.#secret.accepts(secret, this.session.received);
  }

  /** Carries the session on over a new connection. */
  resume(transport: Transport, attempt: number, peerReceived: number): void {
    this.attempt = attempt;
    try {
      this.session.attach(transport, { peerReceived });
    } catch (error) {
      this.session.destroy(asGgrokError(error));
      transport.destroy();
    }
  }

  /** Tells of the first connection. */
  start(transport: Transport): void {
    this.session.attach(transport);
  }

  /**
   * A newer connection of the same process and slot is here. Names go over as it binds them; what is open here ends in
   * peace when the link is up, and by the rules of a lost session when it is not.
   */
  supersede(account?: { lastStream: number; undispatched: readonly number[] }): void {
    // A process may leave one session behind at a time: one that dials on and on must not collect them.
    this.#predecessor?.session.destroy(new GgrokError("ERR_GGROK_SUPERSEDED"));
    this.#predecessor = undefined;
    const { state } = this.session;
    if (state === "open" || state === "draining") void this.session.close(PATIENT_CLOSE_MS);
    else this.session.destroy(new GgrokError("ERR_GGROK_SESSION_LOST"), account);
  }

  /** Asks the agent to go elsewhere and ends when its streams have ended, at the deadline at the latest. */
  async drain(deadlineMs: number): Promise<void> {
    this.#isLeaving = true;
    this.session.sendControl({
      type: "drain",
      reason: "the relay is going down",
      reconnect: "now",
      deadlineMs: Math.round(deadlineMs),
    });
    await this.session.close(deadlineMs);
  }

  /** Ends now and gives all names up. */
  destroy(error: GgrokError): void {
    this.#isLeaving = true;
    this.session.destroy(error);
    this.#end();
  }

  unbound(bind: number, code: ErrorCode, holder: string | undefined): void {
    this.session.sendControl({ type: "unbound", bind, code, ...(holder !== undefined && { holder }) });
    // A lost session whose last name is another's has nothing to come back for; its exchanges need not wait.
    if (this.isAway && !this.#deps.registry.holds(this)) this.#end();
  }

  #onState(state: SessionState, previous: SessionState): void {
    const fields = { session: this.id, agent: this.label };
    if (state === "lost") {
      this.#deps.metrics.sessionsLost += 1;
      logEvent(this.#deps.logger, "session.lost", fields, `${this.label} lost`);
      this.#parkTimer = setTimeout(() => this.session.failUnanswered(), this.#deps.parkMs);
      this.#hold();
    } else if (state === "open") {
      this.#clearTimers();
      if (previous !== "suspect") logEvent(this.#deps.logger, "session.online", fields, `${this.label} online`);
      this.#deps.registry.wake(this);
    }
  }

  #onClosed(error: GgrokError): void {
    clearTimeout(this.#parkTimer);
    const fields = { session: this.id, agent: this.label, code: error.code, reason: error.message };
    logEvent(this.#deps.logger, "session.closed", fields, `${this.label} closed: ${error.message}`);
    // A process that broke off without a word may come back under the same names; one that said goodbye will not.
    if (this.#isLeaving) this.#end();
    else if (this.#holdTimer === undefined) this.#hold();
  }

  /** Starts the hold of a lost session; a session that closes meanwhile does not prolong it. */
  #hold(): void {
    clearTimeout(this.#holdTimer);
    this.#holdTimer = setTimeout(() => this.#end(), this.#deps.holdMs);
  }

  #end(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#isLeaving = true;
    this.#clearTimers();
    this.session.destroy(new GgrokError("ERR_GGROK_SESSION_LOST"));
    this.#deps.registry.releaseAll(this);
    this.#onGone(this);
  }

  #clearTimers(): void {
    clearTimeout(this.#parkTimer);
    clearTimeout(this.#holdTimer);
    this.#parkTimer = undefined;
    this.#holdTimer = undefined;
  }

  #onControl(message: ControlMessage): void {
    switch (message.type) {
      case "bind":
        this.#bind(message).catch((error: unknown) => this.session.destroy(asGgrokError(error)));
        return;
      case "unbind":
        this.#unbind(message.bind);
        return;
      case "drain":
        // "now" and "after" announce a successor, whose hello ends this session; with "never" nobody else would.
        if (message.reconnect !== "never") return;
        this.#isLeaving = true;
        this.session.goAway(ResetCode.Draining);
        return;
      case "hello":
        this.session.destroy(new GgrokError("ERR_GGROK_PROTOCOL_VIOLATION", { message: "a second hello" }));
        return;
      default:
        return;
    }
  }

  async #bind(message: BindMessage): Promise<void> {
    const refuse = (code: ErrorCode, text: string, holder?: string): void => {
      countCode(this.#deps.metrics.refusedBinds, code);
      this.session.sendControl({
        type: "bind-refused",
        bind: message.bind,
        code,
        message: text.slice(0, MAX_REASON_CHARACTERS),
        retry: "never",
        ...(holder !== undefined && { holder }),
      });
    };
    const tcp = message.kind === "tcp" ? parseTcpRules(message.options) : undefined;
    const visitors = message.kind === "tcp" ? undefined : parseVisitorRules(message.options);
    if (typeof visitors === "string") return refuse("ERR_GGROK_NAME_NOT_ALLOWED", visitors);
    if (typeof tcp === "string") return refuse("ERR_GGROK_NAME_NOT_ALLOWED", tcp);
    if (this.#pending.length >= RELAY_LIMITS.maxPendingBinds || this.#findPending(message.bind) !== undefined) {
      return refuse("ERR_GGROK_NAME_NOT_ALLOWED", `${String(this.#pending.length)} binds are still undecided`);
    }
    const pending: PendingBind = { bind: message.bind, isCancelled: false };
    this.#pending = [...this.#pending, pending];
    const outcome = await this.#deps.registry
      .bind(this, {
        bind: message.bind,
        url: message.url,
        ageMs: message.ageMs,
        claim: message.claim,
        pooling: message.pooling ?? false,
        takeover: message.takeover ?? false,
        stripPrefix: message.stripPrefix ?? false,
        ...(tcp !== undefined && { tcp }),
        ...(visitors !== undefined && { visitors }),
      })
      .finally(() => {
        this.#pending = this.#pending.filter((other) => other !== pending);
      });
    if ("refused" in outcome) return refuse(outcome.refused.code, outcome.refused.message, outcome.refused.holder);
    if (pending.isCancelled || this.isClosed) this.#deps.registry.release(this, message.bind);
    else this.session.sendControl({ type: "bound", bind: message.bind, ...outcome.bound });
    return undefined;
  }

  #findPending(bind: number): PendingBind | undefined {
    return this.#pending.find((pending) => pending.bind === bind);
  }

  #unbind(bind: number): void {
    const pending = this.#findPending(bind);
    if (pending !== undefined) pending.isCancelled = true;
    this.#deps.registry.release(this, bind);
  }
}

interface PendingBind {
  readonly bind: number;
  isCancelled: boolean;
}

function asGgrokError(error: unknown): GgrokError {
  return error instanceof GgrokError ? error : new GgrokError("ERR_GGROK_PROTOCOL_VIOLATION", { cause: error });
}
