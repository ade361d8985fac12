import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { OpenMeta } from "@ggrok/protocol";
import type { Authenticator } from "../auth/authenticator.ts";
import type { Principal } from "../auth/principal.ts";
import type { TcpRouter } from "../registry/tcp-route.ts";
import type { Admission } from "./admission.ts";
import { CONNECTED, type ConnectDecision, decideConnect } from "./connect.ts";
import { errorAnswerBytes } from "./error-page.ts";
import type { Exchanges } from "./exchanges.ts";
import { plainAddress } from "./forwarded.ts";
import { type Refusal, refuseSocket } from "./refusal.ts";
import { clientOfRequest } from "./request-origin.ts";
import { breakConnection, ignore } from "./sockets.ts";
import { TcpExchange, type TcpVisit } from "./tcp.ts";

/** TCP tunnels, and who may connect to them. */
export interface TcpTunnels {
  readonly router: TcpRouter;
  readonly authenticator: Authenticator;
}

/** The two ways into a TCP tunnel: CONNECT on the relay's one port, and a raw port of the tunnel's own. */
export class TcpEntry {
  readonly #exchanges: Exchanges;
  readonly #admission: Admission;
  readonly #tunnels: TcpTunnels | undefined;
  readonly #open = new Map<Principal, Set<TcpExchange>>();

  /** @param tunnels without them every connection is refused */
  constructor(exchanges: Exchanges, admission: Admission, tunnels: TcpTunnels | undefined) {
    this.#exchanges = exchanges;
    this.#admission = admission;
    this.#tunnels = tunnels;
  }

  /** The socket is alive, and nothing was answered on it. */
  onConnect(req: IncomingMessage, socket: Socket, early: Buffer): void {
    const requestId = this.#exchanges.newRequestId();
    const client = clientOfRequest(req, this.#exchanges.trusted);
    const rateRefusal = this.#admission.rateRefusal(client, req.socket);
    if (rateRefusal !== undefined) {
      this.#refuse(req, socket, { ...rateRefusal, requestId });
      return;
    }
    const decision: ConnectDecision =
      this.#tunnels === undefined
        ? { refused: "ERR_GGROK_CONNECT_REFUSED" }
        : decideConnect(req, client, this.#tunnels);
    if (decision.refused !== undefined) {
      const { refused: code, detail } = decision;
      this.#refuse(req, socket, { code, requestId, ...(detail !== undefined && { detail }) });
      return;
    }
    const loadRefusal = this.#admission.loadRefusal();
    if (loadRefusal !== undefined) {
      this.#refuse(req, socket, { ...loadRefusal, requestId });
      return;
    }
    const { route, host, principal } = decision;
    const visit: TcpVisit = {
      socket,
      route,
      requestId,
      method: "CONNECT",
      host,
      client,
      // Behind a front end the peer's port is the front end's.
      meta: metaOf(req.socket, client, client === plainAddress(req.socket.remoteAddress)),
      early,
      accepted: CONNECTED,
      refused: (code) => errorAnswerBytes(code, req.headers.accept, { requestId }),
    };
    this.#start(visit, principal);
  }

  /** A connection at the raw port of the tunnel that is kept under this host. */
  onPort(socket: Socket, host: string): void {
    const route = this.#tunnels?.router.findTcp(host);
    const client = plainAddress(socket.remoteAddress);
    const isTaken =
      this.#admission.admits(socket) && route?.allows(client) === true && this.#admission.loadRefusal() === undefined;
    if (!isTaken) {
      socket.on("error", ignore);
      breakConnection(socket);
      return;
    }
    this.#start({
      socket,
      route,
      requestId: this.#exchanges.newRequestId(),
      method: "TCP",
      host,
      client,
      meta: metaOf(socket, client, true),
      early: NOTHING,
      accepted: undefined,
      refused: () => undefined,
    });
  }

  /** Ends the connections that came with a token of this principal, which was revoked. */
  endConnectionsOf(principal: Principal): void {
    for (const exchange of this.#open.get(principal) ?? []) exchange.revoke();
  }

  #start(visit: TcpVisit, principal?: Principal): void {
    this.#exchanges.enter();
    const exchange = new TcpExchange(this.#exchanges, visit);
    if (principal !== undefined) {
      const open = this.#open.get(principal) ?? new Set();
      this.#open.set(principal, open.add(exchange));
      visit.socket.once("close", () => {
        open.delete(exchange);
        if (open.size === 0) this.#open.delete(principal);
      });
    }
    exchange.start();
  }

  #refuse(req: IncomingMessage, socket: Socket, refusal: Refusal): void {
    this.#exchanges.report(refuseSocket(req, socket, refusal));
  }
}

const NOTHING = Buffer.alloc(0);

/** Who connects from where to what, for an app that is told by the PROXY protocol. */
function metaOf(socket: Socket, client: string, isPeer: boolean): OpenMeta {
  const { remotePort, localAddress, localPort } = socket;
  return {
    client,
    ...(isPeer && remotePort !== undefined && { clientPort: remotePort }),
    ...(localAddress !== undefined && { local: plainAddress(localAddress) }),
    ...(localPort !== undefined && { localPort }),
  };
}
