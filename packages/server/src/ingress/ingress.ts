import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { ErrorCode, OpenMeta } from "@ggrok/protocol";
import { nanoid } from "nanoid";
import type { Authenticator } from "../auth/authenticator.ts";
import type { Principal } from "../auth/principal.ts";
import { RELAY_LIMITS } from "../limits.ts";
import { parseHost } from "../listener/host.ts";
import { type ExchangeRecord, logExchange } from "../observability/access-log.ts";
import type { Logger } from "../observability/logger.ts";
import type { Router } from "../registry/route.ts";
import type { TcpRouter } from "../registry/tcp-route.ts";
import { handleClientError } from "./client-error.ts";
import { CONNECTED, type ConnectDecision, decideConnect } from "./connect.ts";
import type { IngressContext, StallLimits } from "./context.ts";
import { type ErrorAnswerOptions, errorAnswerBytes, sendError } from "./error-page.ts";
import { plainAddress, type TrustedPeers } from "./forwarded.ts";
import { HttpExchange } from "./http.ts";
import { linger } from "./linger.ts";
import { Pipeline } from "./pipeline.ts";
import { ReplayBudget } from "./replay-buffer.ts";
import { type RequestHead, readRequestHead } from "./request-head.ts";
import { clientOfRequest } from "./request-origin.ts";
import { breakConnection, closeGently, ignore, isDead, markDead } from "./sockets.ts";
import { StallWatch } from "./stall-watch.ts";
import { TcpExchange, type TcpVisit } from "./tcp.ts";
import { UpgradeExchange } from "./upgrade.ts";
import { type VisitorRateLimits, VisitorRates } from "./visitor-rates.ts";

/** Settings of {@link createIngress}. */
export interface IngressConfig {
  /** How long a request waits for an agent that is away, in milliseconds. */
  readonly parkMs: number;
  /** The platform's front end gives up on an answer that has not begun by then, in milliseconds. */
  readonly firstByteMs?: number | undefined;
  /** Instead of the relay's own limits. */
  readonly stallLimits?: StallLimits;
  /** The same for what one address may do in a time. */
  readonly rateLimits?: VisitorRateLimits;
}

/** What ingress counts. The fields are added to as exchanges end. */
export interface IngressMetrics {
  /** An exchange has ended. */
  countExchange(record: ExchangeRecord): void;
  /** An exchange was sent again because its session broke before the answer. */
  countRedispatch(): void;
  /** A connection was closed at accept, since its address begins too many. */
  countRefusedConnection(): void;
}

/** What {@link createIngress} is made of. */
export interface IngressDeps {
  readonly router: Router;
  readonly config: IngressConfig;
  /** The front ends whose forwarding fields are believed. */
  readonly trusted: TrustedPeers;
  readonly logger: Logger;
  readonly metrics: IngressMetrics;
  /** Names this relay among others in `Via`. */
  readonly relayId: string;
  /** TCP tunnels, and who may connect to them; without it every CONNECT is refused. */
  readonly tcp?: { readonly router: TcpRouter; readonly authenticator: Authenticator };
  /** Whether new work is refused; never unless given. */
  isOverloaded?(): boolean;
  /** Makes request ids; nanoid unless given. */
  newRequestId?(): string;
}

/** Where the visitors' side of the listener leads. */
export interface Ingress {
  /** Whether a connection that has just come may stay; it is closed when not. */
  admits(socket: Socket): boolean;
  /** For `request`, `checkContinue` and `checkExpectation`: Node must not answer an Expect itself, the app does. */
  onRequest(req: IncomingMessage, res: ServerResponse): void;
  /** For the server's `shouldUpgradeCallback`: false treats the request as an ordinary one without its Upgrade. */
  shouldUpgrade(req: IncomingMessage): boolean;
  onUpgrade(req: IncomingMessage, socket: Duplex, early: Buffer): void;
  onConnect(req: IncomingMessage, socket: Duplex, early: Buffer): void;
  /** Ends the connections of TCP tunnels that came with a token of this principal, which was revoked. */
  endConnectionsOf(principal: Principal): void;
  /** A connection at the raw public port of the TCP tunnel that is kept under this host. */
  onTcp(socket: Socket, host: string): void;
  onClientError(error: Error, socket: Duplex): void;
  /** Exchanges that are going on, upgraded ones included. */
  readonly openExchanges: number;
  /** Parks nothing any more and closes visitors' connections behind their answers; resolves when no exchange is open. */
  close(): Promise<void>;
  /** Stops every clock. The exchanges end with their connections, which are the listener's. */
  destroy(): void;
}

/** The visitors' side of the relay: requests in, streams out. */
export function createIngress(deps: IngressDeps): Ingress {
  return new VisitorIngress(deps);
}

class VisitorIngress implements Ingress, IngressContext {
  readonly #router: Router;
  readonly #tcp: IngressDeps["tcp"];
  readonly #metrics: IngressMetrics;
  readonly #isOverloaded: () => boolean;
  // A number and not a set of them: a Map that every request enters and leaves is rehashed now and then, the old tables
  // keep dead exchanges reachable for the young generation, and collecting them costs as much as all the rest.
  #open = 0;
  readonly #rates: VisitorRates;
  readonly #pipeline = new Pipeline();
  readonly #tcpExchanges = new Map<Principal, Set<TcpExchange>>();
  #closing: PromiseWithResolvers<void> | undefined;

  readonly logger: Logger;
  readonly relayId: string;
  readonly parkMs: number;
  readonly firstByteMs: number | undefined;
  readonly stallLimits: StallLimits;
  readonly trusted: TrustedPeers;
  readonly replayBudget = new ReplayBudget(RELAY_LIMITS.replayTotalBytes);
  readonly stalls: StallWatch;
  readonly newRequestId: () => string;

  constructor(deps: IngressDeps) {
    this.#router = deps.router;
    this.#tcp = deps.tcp;
    this.#metrics = deps.metrics;
    this.logger = deps.logger;
    this.relayId = deps.relayId;
    this.parkMs = deps.config.parkMs;
    this.firstByteMs = deps.config.firstByteMs;
    this.stallLimits = deps.config.stallLimits ?? RELAY_LIMITS;
    this.stalls = new StallWatch(this.stallLimits.stallCheckIntervalMs);
    this.trusted = deps.trusted;
    this.#rates = new VisitorRates(this.trusted, deps.config.rateLimits);
    this.newRequestId = deps.newRequestId ?? nanoid;
    this.#isOverloaded = () => deps.isOverloaded?.() ?? false;
  }

  get openExchanges(): number {
    return this.#open;
  }
  get isDraining(): boolean {
    return this.#closing !== undefined;
  }

  admits(socket: Socket): boolean {
    if (this.#rates.admitsConnection(socket, performance.now())) return true;
    this.#metrics.countRefusedConnection();
    return false;
  }

  onRequest(req: IncomingMessage, res: ServerResponse): void {
    if (isDead(req.socket)) return;
    if (res.socket === null) this.#queue(req, res);
    else this.#serve(req, res);
  }

  /** Another answer is on its way on this connection. The request counts as open, so that draining does not cut it. */
  #queue(req: IncomingMessage, res: ServerResponse): void {
    this.#open += 1;
    const serve = (): void => {
      this.#serve(req, res);
      this.#leave();
    };
    this.#pipeline.wait(res, req.socket, serve, () => this.#leave());
  }

  #serve(req: IncomingMessage, res: ServerResponse): void {
    if (isDead(req.socket)) return;
    if (this.isDraining) res.shouldKeepAlive = false;
    const head = readRequestHead(req, "http", this);
    if (typeof head === "string") {
      // How the connection goes on is not certain, so it does not.
      markDead(req.socket);
      this.#refuse(req, res, head, { requestId: this.newRequestId(), close: true });
      return;
    }
    const retryAfterS = this.#rates.secondsToWait(head.client, req.socket);
    if (retryAfterS !== undefined) {
      this.#refuse(req, res, "ERR_GGROK_VISITOR_RATE_LIMITED", { requestId: head.requestId, retryAfterS }, head);
      return;
    }
    if (this.#isOverloaded()) {
      this.#refuse(req, res, "ERR_GGROK_RELAY_OVERLOADED", { requestId: head.requestId }, head);
      return;
    }
    const route = this.#router.find(head.host, head.target);
    if (route === undefined) {
      this.#refuse(req, res, "ERR_GGROK_ENDPOINT_UNKNOWN", { requestId: head.requestId }, head);
      return;
    }
    const exchange = new HttpExchange(this, req, res, head, route);
    this.#open += 1;
    exchange.start();
  }

  shouldUpgrade(req: IncomingMessage): boolean {
    return isForwardableUpgrade(req);
  }

  onUpgrade(req: IncomingMessage, socket: Duplex, early: Buffer): void {
    if (isDead(socket)) return;
    const head = isForwardableUpgrade(req) ? readRequestHead(req, "upgrade", this) : "ERR_GGROK_REQUEST_MALFORMED";
    if (typeof head === "string") {
      this.#refuseSocket(req, socket, head, { requestId: this.newRequestId() });
      return;
    }
    const { requestId } = head;
    const retryAfterS = this.#rates.secondsToWait(head.client, req.socket);
    if (retryAfterS !== undefined) {
      this.#refuseSocket(req, socket, "ERR_GGROK_VISITOR_RATE_LIMITED", { requestId, retryAfterS }, head);
      return;
    }
    if (this.#isOverloaded()) {
      this.#refuseSocket(req, socket, "ERR_GGROK_RELAY_OVERLOADED", { requestId }, head);
      return;
    }
    const route = this.#router.find(head.host, head.target);
    if (route === undefined) {
      this.#refuseSocket(req, socket, "ERR_GGROK_ENDPOINT_UNKNOWN", { requestId }, head);
      return;
    }
    const exchange = new UpgradeExchange(this, req, socket as Socket, early, head, route);
    this.#open += 1;
    exchange.start();
  }

  onConnect(req: IncomingMessage, socket: Duplex, early: Buffer): void {
    if (isDead(socket)) return;
    const requestId = this.newRequestId();
    const client = clientOfRequest(req, this.trusted);
    const retryAfterS = this.#rates.secondsToWait(client, req.socket);
    if (retryAfterS !== undefined) {
      this.#refuseSocket(req, socket, "ERR_GGROK_VISITOR_RATE_LIMITED", { requestId, retryAfterS });
      return;
    }
    const decision: ConnectDecision =
      this.#tcp === undefined ? { refused: "ERR_GGROK_CONNECT_REFUSED" } : decideConnect(req, client, this.#tcp);
    if (decision.refused !== undefined) {
      const { refused, detail } = decision;
      this.#refuseSocket(req, socket, refused, { requestId, ...(detail !== undefined && { detail }) });
      return;
    }
    if (this.#isOverloaded()) {
      this.#refuseSocket(req, socket, "ERR_GGROK_RELAY_OVERLOADED", { requestId });
      return;
    }
    const { route, host, principal } = decision;
    const visit: TcpVisit = {
      socket: socket as Socket,
      route,
      requestId,
      method: "CONNECT",
      host,
      client,
      // Behind a front end the peer's port is the front end's.
      meta: tcpMeta(req.socket, client, client === plainAddress(req.socket.remoteAddress)),
      early,
      accepted: CONNECTED,
      refused: (code) => errorAnswerBytes(code, req.headers.accept, { requestId }),
    };
    this.#startTcp(visit, principal);
  }

  onTcp(socket: Socket, host: string): void {
    const route = this.#tcp?.router.findTcp(host);
    const client = plainAddress(socket.remoteAddress);
    if (!this.admits(socket) || route?.allows(client) !== true || this.#isOverloaded()) {
      socket.on("error", ignore);
      breakConnection(socket);
      return;
    }
    this.#startTcp({
      socket,
      route,
      requestId: this.newRequestId(),
      method: "TCP",
      host,
      client,
      meta: tcpMeta(socket, client, true),
      early: NOTHING,
      accepted: undefined,
      refused: () => undefined,
    });
  }

  endConnectionsOf(principal: Principal): void {
    for (const exchange of this.#tcpExchanges.get(principal) ?? []) exchange.revoke();
  }

  #startTcp(visit: TcpVisit, principal?: Principal): void {
    this.#open += 1;
    const exchange = new TcpExchange(this, visit);
    if (principal !== undefined) {
      const open = this.#tcpExchanges.get(principal) ?? new Set();
      this.#tcpExchanges.set(principal, open.add(exchange));
      visit.socket.once("close", () => {
        open.delete(exchange);
        if (open.size === 0) this.#tcpExchanges.delete(principal);
      });
    }
    exchange.start();
  }

  onClientError(error: Error, socket: Duplex): void {
    const answered = handleClientError(error, socket, this.newRequestId);
    if (answered === undefined) return;
    const { requestId: id, code, status } = answered;
    const client = plainAddress((socket as Socket).remoteAddress);
    // Nothing is known of it: what could not be read is not repeated.
    const nothing = { host: "", method: "", path: "", durationMs: 0, bytesIn: 0, bytesOut: 0 };
    this.#report({ id, code, status, client, ...nothing });
  }

  onEnd(record: ExchangeRecord): void {
    this.#report(record);
    this.#leave();
  }

  #leave(): void {
    this.#open -= 1;
    if (this.#open === 0) this.#closing?.resolve();
  }

  onRedispatch(): void {
    this.#metrics.countRedispatch();
  }

  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#closing = Promise.withResolvers();
      if (this.#open === 0) this.#closing.resolve();
    }
    return this.#closing.promise;
  }

  destroy(): void {
    void this.close();
    this.stalls.close();
  }

  #refuse(req: IncomingMessage, res: ServerResponse, code: ErrorCode, o: ErrorAnswerOptions, head?: RequestHead): void {
    sendError(req, res, code, o);
    linger(req);
    this.#report(refusal(req, code, o.requestId, res.statusCode, head));
  }

  #refuseSocket(
    req: IncomingMessage,
    socket: Duplex,
    code: ErrorCode,
    o: ErrorAnswerOptions,
    head?: RequestHead,
  ): void {
    const bytes = errorAnswerBytes(code, req.headers.accept, o);
    closeGently(socket, bytes);
    this.#report(refusal(req, code, o.requestId, Number(bytes.toString("latin1", 9, 12)), head));
  }

  #report(record: ExchangeRecord): void {
    this.#metrics.countExchange(record);
    logExchange(this.logger, record);
  }
}

const NOTHING = Buffer.alloc(0);

/** Who connects from where to what, for an app that is told by the PROXY protocol. */
function tcpMeta(socket: Socket, client: string, isPeer: boolean): OpenMeta {
  const { remotePort, localAddress, localPort } = socket;
  return {
    client,
    ...(isPeer && remotePort !== undefined && { clientPort: remotePort }),
    ...(localAddress !== undefined && { local: plainAddress(localAddress) }),
    ...(localPort !== undefined && { localPort }),
  };
}

/**
 * Whether an upgrade can go to the app. HTTP/2 on this connection would be a second front door behind the relay's
 * checks; a request with a body would have its body taken for the new protocol's first bytes; HTTP/1.0 has no upgrade.
 */
function isForwardableUpgrade(req: IncomingMessage): boolean {
  const { upgrade } = req.headers;
  if (upgrade === undefined || req.httpVersion !== "1.1") return false;
  if (req.headers["transfer-encoding"] !== undefined) return false;
  if (req.headers["content-length"] !== undefined && req.headers["content-length"] !== "0") return false;
  return upgrade.split(",").every((token) => !NOT_FORWARDED.test(token.trim()));
}
const NOT_FORWARDED = /^(?:h2c?|http|tls|$)(?:\/|$)/iu;

function refusal(
  req: IncomingMessage,
  code: ErrorCode,
  id: string,
  status: number,
  head: RequestHead | undefined,
): ExchangeRecord {
  return {
    id,
    host: head?.host ?? parseHost(req.headers.host) ?? "",
    method: req.method ?? "",
    path: head?.target ?? req.url ?? "",
    status,
    code,
    durationMs: 0,
    bytesIn: 0,
    bytesOut: 0,
    client: head?.client ?? plainAddress(req.socket.remoteAddress),
  };
}
