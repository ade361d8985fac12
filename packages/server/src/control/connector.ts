import {
  type ErrorCode,
  encodeControlMessage,
  GgrokError,
  type Hello,
  LIMITS,
  type MemoryBudget,
  type MuxStream,
  type OpenHead,
  type OpenMeta,
  PROTOCOL_VERSION,
  ResetCode,
  Session,
  type SessionState,
  type TcpOpenHead,
  type Transport,
} from "@ggrok/protocol";
import type { ConnectRights } from "../auth/connect-rights.ts";
import type { Principal } from "../auth/principal.ts";
import { type ExchangeRecord, logExchange } from "../observability/access-log.ts";
import type { Logger } from "../observability/logger.ts";
import { countExchange, type Metrics } from "../observability/metrics.ts";
import type { TcpRoute, TcpRouter } from "../registry/tcp-route.ts";
import { makeSessionId } from "./session-id.ts";
import { makeSecret } from "./session-secret.ts";
import { type SpliceResult, StreamSplice } from "./stream-splice.ts";

/** What connectors share with each other. */
export interface ConnectorDeps {
  readonly registry: TcpRouter;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly budget: MemoryBudget;
  readonly relayId: string;
  readonly parkMs: number;
  isDraining(): boolean;
  isOverloaded(): boolean;
}

/** Who connects, as the upgrade showed it. */
export interface ConnectorIdentity {
  readonly rights: ConnectRights;
  /** Address behind trusted front ends. */
  readonly client: string;
  readonly meta: OpenMeta;
}

const HEARTBEAT = { intervalMs: LIMITS.HEARTBEAT_INTERVAL_MS, timeoutMs: LIMITS.HEARTBEAT_TIMEOUT_MS };

/** Every connector that is here, by whose token it came. */
export class ConnectorDirectory {
  readonly #connectors = new Set<Connector>();

  get all(): readonly Connector[] {
    return [...this.#connectors];
  }

  get size(): number {
    return this.#connectors.size;
  }

  countOf(id: string): number {
    let count = 0;
    for (const connector of this.#connectors) if (connector.identity.rights.id === id) count += 1;
    return count;
  }

  add(connector: Connector): void {
    this.#connectors.add(connector);
  }

  remove(connector: Connector): void {
    this.#connectors.delete(connector);
  }
}

/**
 * The session of a program that connects to TCP tunnels: it opens streams by name, each becomes one connection. Its rights are
 * asked at each. A connector has no names, so nothing of it outlives its connection.
 */
export class Connector {
  readonly identity: ConnectorIdentity;
  readonly #deps: ConnectorDeps;
  readonly #session: Session;
  readonly #onGone: (connector: Connector) => void;

  constructor(identity: ConnectorIdentity, hello: Hello, deps: ConnectorDeps, onGone: (connector: Connector) => void) {
    this.identity = identity;
    this.#deps = deps;
    this.#onGone = onGone;
    this.#session = new Session({
      side: "listener",
      id: makeSessionId(),
      resumable: false,
      localWindow: LIMITS.REQUEST_WINDOW_INITIAL_BYTES,
      peerWindow: hello.window,
      peerMaxStreams: hello.maxStreams,
      localMaxStreams: LIMITS.STREAMS_MAX,
      heartbeat: HEARTBEAT,
      budget: deps.budget,
      handler: {
        onStream: (stream, head, fin) => this.#onStream(stream, head, fin),
        onControl: (message) => {
          if (message.type === "drain" && message.reconnect === "never") this.#session.goAway(ResetCode.Draining);
          if (message.type === "hello")
            this.destroy(new GgrokError("ERR_GGROK_PROTOCOL_VIOLATION", { message: "a second hello" }));
        },
        onState: (state) => this.#onState(state),
        onClosed: () => this.#onGone(this),
      },
    });
  }

  /** Whose token it showed. */
  get principal(): Principal | undefined {
    return this.identity.rights.principal;
  }

  /** Answers hello and starts. */
  start(transport: Transport): void {
    const message = encodeControlMessage({
      type: "welcome",
      session: this.#session.id,
      secret: makeSecret(),
      relayId: this.#deps.relayId,
      version: PROTOCOL_VERSION,
      capabilities: [],
      window: LIMITS.REQUEST_WINDOW_INITIAL_BYTES,
      maxStreams: LIMITS.STREAMS_MAX,
      heartbeat: HEARTBEAT,
      holdMs: 0,
      resumed: false,
      received: 0,
      slots: 1,
    });
    transport.send(message);
    transport.flush();
    this.#session.attach(transport);
  }

  /** Takes nothing new and ends when its connections have ended, at the deadline at the latest. */
  async drain(deadlineMs: number): Promise<void> {
    this.#session.sendControl({ type: "drain", reason: "the relay is going down", reconnect: "now" });
    await this.#session.close(deadlineMs);
  }

  /** Ends now. */
  destroy(error: GgrokError): void {
    this.#session.destroy(error);
  }

  #onState(state: SessionState): void {
    if (state === "lost") this.#session.destroy(new GgrokError("ERR_GGROK_SESSION_LOST"));
  }

  #onStream(stream: MuxStream, head: OpenHead, fin: boolean): void {
    if (head.kind !== "tcp" || typeof head.bind !== "string") {
      stream.reset(ResetCode.Refused, { notProcessed: true, message: "a connector opens TCP tunnels by name" });
      return;
    }
    const route = this.#deps.registry.findTcp(head.bind.toLowerCase());
    const startedAt = performance.now();
    const report = (outcome: SpliceResult): void =>
      this.#report(head, outcome, performance.now() - startedAt, route?.url);
    const { client, meta } = this.identity;
    const refusal = this.#findRefusal(route);
    if (route === undefined || refusal !== undefined) {
      const { reset, code } = refusal ?? NOT_FOUND;
      stream.reset(reset, { notProcessed: true, message: new GgrokError(code).message });
      report({ isConnected: false, code, bytesIn: 0, bytesOut: 0 });
      return;
    }
    const splice = new StreamSplice({
      stream,
      hasEnded: fin,
      route,
      requestId: head.requestId,
      meta: { ...meta, client },
      parkMs: this.#deps.parkMs,
      isDraining: this.#deps.isDraining(),
      onEnd: report,
    });
    splice.start();
  }

  #findRefusal(route: TcpRoute | undefined): ConnectRefusal | undefined {
    const { rights, client } = this.identity;
    if (route === undefined) return NOT_FOUND;
    if (this.#deps.isOverloaded()) return { reset: ResetCode.Overload, code: "ERR_GGROK_RELAY_OVERLOADED" };
    if (!route.isPublic && !rights.mayConnect(route.names))
      return { reset: ResetCode.Unauthorized, code: "ERR_GGROK_CONNECT_UNAUTHORIZED" };
    return route.allows(client) ? undefined : { reset: ResetCode.Forbidden, code: "ERR_GGROK_VISITOR_FORBIDDEN" };
  }

  #report(head: TcpOpenHead, outcome: SpliceResult, durationMs: number, tunnel: string | undefined): void {
    const { isConnected, code, bytesIn, bytesOut } = outcome;
    const record: ExchangeRecord = {
      id: head.requestId,
      host: String(head.bind),
      method: "TCP",
      path: "",
      status: isConnected ? 200 : code === undefined ? 0 : new GgrokError(code).status,
      ...(code !== undefined && { code }),
      durationMs,
      bytesIn,
      bytesOut,
      client: this.identity.client,
      ...(tunnel !== undefined && { tunnel }),
    };
    countExchange(this.#deps.metrics, record);
    logExchange(this.#deps.logger, record);
  }
}

interface ConnectRefusal {
  readonly reset: ResetCode;
  readonly code: ErrorCode;
}

const NOT_FOUND: ConnectRefusal = { reset: ResetCode.NotFound, code: "ERR_GGROK_CONNECT_REFUSED" };
