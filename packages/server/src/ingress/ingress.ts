import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Principal } from "../auth/principal.ts";
import type { Router } from "../registry/route.ts";
import { Admission, type AdmissionDeps } from "./admission.ts";
import { handleClientError } from "./client-error.ts";
import { Exchanges, type ExchangesDeps } from "./exchanges.ts";
import { isForwardableUpgrade } from "./forwardable-upgrade.ts";
import { plainAddress } from "./forwarded.ts";
import { HttpExchange } from "./http.ts";
import { Pipeline } from "./pipeline.ts";
import { refuseRequest, refuseSocket } from "./refusal.ts";
import { readRequestHead } from "./request-head.ts";
import { isDead, markDead } from "./sockets.ts";
import { TcpEntry, type TcpTunnels } from "./tcp-entry.ts";
import { UpgradeExchange } from "./upgrade.ts";

/** Settings of {@link Ingress}. */
export type IngressConfig = ExchangesDeps["config"] & AdmissionDeps["config"];

/** What {@link Ingress} is made of. */
export interface IngressDeps extends ExchangesDeps, AdmissionDeps {
  readonly config: IngressConfig;
  readonly metrics: ExchangesDeps["metrics"] & AdmissionDeps["metrics"];
  readonly router: Router;
  /** Without it every CONNECT is refused. */
  readonly tcp?: TcpTunnels;
}

/** The visitors' side of the relay: requests in, streams out. Its methods are what the listener calls. */
export class Ingress {
  readonly #router: Router;
  readonly #admission: Admission;
  readonly #exchanges: Exchanges;
  readonly #pipeline = new Pipeline();
  readonly #tcp: TcpEntry;

  constructor(deps: IngressDeps) {
    this.#router = deps.router;
    this.#admission = new Admission(deps);
    this.#exchanges = new Exchanges(deps);
    this.#tcp = new TcpEntry(this.#exchanges, this.#admission, deps.tcp);
  }

  /** Exchanges that are going on, upgraded ones included. */
  get openExchanges(): number {
    return this.#exchanges.openCount;
  }

  /** Whether a connection that has just come may stay; it is closed when not. */
  admits(socket: Socket): boolean {
    return this.#admission.admits(socket);
  }

  /** For `request`, `checkContinue` and `checkExpectation`: Node must not answer an Expect itself, the app does. */
  onRequest(req: IncomingMessage, res: ServerResponse): void {
    if (isDead(req.socket)) return;
    if (res.socket === null) this.#queue(req, res);
    else this.#serve(req, res);
  }

  /** Another answer is on its way on this connection. The request counts as open, so that draining does not cut it. */
  #queue(req: IncomingMessage, res: ServerResponse): void {
    this.#exchanges.enter();
    const serve = (): void => {
      this.#serve(req, res);
      this.#exchanges.leave();
    };
    this.#pipeline.wait(res, req.socket, serve, () => this.#exchanges.leave());
  }

  #serve(req: IncomingMessage, res: ServerResponse): void {
    if (isDead(req.socket)) return;
    if (this.#exchanges.isDraining) res.shouldKeepAlive = false;
    const head = readRequestHead(req, "http", this.#exchanges);
    if (typeof head === "string") {
      // How the connection goes on is not certain, so it does not.
      markDead(req.socket);
      const refusal = { code: head, requestId: this.#exchanges.newRequestId(), close: true };
      this.#exchanges.report(refuseRequest(req, res, refusal));
      return;
    }
    const notNow = this.#admission.refusalOf(head.client, req.socket);
    const route = notNow === undefined ? this.#router.find(head.host, head.target) : undefined;
    if (route === undefined) {
      const refusal = { ...(notNow ?? UNKNOWN), requestId: head.requestId };
      this.#exchanges.report(refuseRequest(req, res, refusal, head));
      return;
    }
    const exchange = new HttpExchange(this.#exchanges, req, res, head, route);
    this.#exchanges.enter();
    exchange.start();
  }

  /** For the server's `shouldUpgradeCallback`: false treats the request as an ordinary one without its Upgrade. */
  shouldUpgrade(req: IncomingMessage): boolean {
    return isForwardableUpgrade(req);
  }

  onUpgrade(req: IncomingMessage, socket: Duplex, early: Buffer): void {
    if (isDead(socket)) return;
    const head = isForwardableUpgrade(req)
      ? readRequestHead(req, "upgrade", this.#exchanges)
      : "ERR_GGROK_REQUEST_MALFORMED";
    if (typeof head === "string") {
      const refusal = { code: head, requestId: this.#exchanges.newRequestId() };
      this.#exchanges.report(refuseSocket(req, socket, refusal));
      return;
    }
    const notNow = this.#admission.refusalOf(head.client, req.socket);
    const route = notNow === undefined ? this.#router.find(head.host, head.target) : undefined;
    if (route === undefined) {
      const refusal = { ...(notNow ?? UNKNOWN), requestId: head.requestId };
      this.#exchanges.report(refuseSocket(req, socket, refusal, head));
      return;
    }
    const exchange = new UpgradeExchange(this.#exchanges, req, socket as Socket, early, head, route);
    this.#exchanges.enter();
    exchange.start();
  }

  onConnect(req: IncomingMessage, socket: Duplex, early: Buffer): void {
    if (!isDead(socket)) this.#tcp.onConnect(req, socket as Socket, early);
  }

  /** A connection at the raw public port of the TCP tunnel that is kept under this host. */
  onTcp(socket: Socket, host: string): void {
    this.#tcp.onPort(socket, host);
  }

  /** Ends the connections of TCP tunnels that came with a token of this principal, which was revoked. */
  endConnectionsOf(principal: Principal): void {
    this.#tcp.endConnectionsOf(principal);
  }

  onClientError(error: Error, socket: Duplex): void {
    const answered = handleClientError(error, socket, this.#exchanges.newRequestId);
    if (answered === undefined) return;
    const { requestId: id, code, status } = answered;
    const client = plainAddress((socket as Socket).remoteAddress);
    // Nothing is known of it: what could not be read is not repeated.
    const nothing = { host: "", method: "", path: "", durationMs: 0, bytesIn: 0, bytesOut: 0 };
    this.#exchanges.report({ id, code, status, client, ...nothing });
  }

  /** Parks nothing any more and closes visitors' connections behind their answers; resolves when no exchange is open. */
  close(): Promise<void> {
    return this.#exchanges.close();
  }

  /** Stops every clock. The exchanges end with their connections, which are the listener's. */
  destroy(): void {
    this.#exchanges.destroy();
  }
}

const UNKNOWN = { code: "ERR_GGROK_ENDPOINT_UNKNOWN" } as const;
