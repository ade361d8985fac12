import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import {
  createWebSocketTransport,
  ERRORS,
  type ErrorCode,
  LIMITS,
  PROTOCOL,
  SUPPORTED_PROTOCOLS,
} from "@ggrok/protocol";
import { WebSocketServer } from "ws";
import { type Authenticator, fieldsNamed } from "../auth/authenticator.ts";
import { rightsOfUpgrade } from "../auth/connect-rights.ts";
import { RELAY_LIMITS } from "../limits.ts";
import { countCode } from "../observability/metrics.ts";
import type { RelayOrigin } from "../registry/names.ts";
import { type Greeting, greet, type HandshakeDeps } from "./handshake.ts";
import { TokenBucket } from "./token-bucket.ts";

/** What {@link createConnect} needs. */
export interface ConnectDeps extends HandshakeDeps {
  readonly authenticator: Authenticator;
  /** A visitor's address behind trusted front ends. */
  clientOf(req: IncomingMessage): string;
  /** Where the agent has reached the relay: what its printed URLs are made of. */
  originOf(req: IncomingMessage): RelayOrigin;
}

/** Where agents arrive: `GET /$$ggrok` with an upgrade. */
export interface Connect {
  /** Takes an upgrade for a path below the reserved prefix; the caller has checked the host. */
  onUpgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void;
}

interface UpgradeRefusal {
  code: ErrorCode;
  message: string;
  retryAfterS?: number;
  /** Instead of the code's own. */
  status?: number;
}

// Above this much unread output a WebSocket ping is not answered: pongs must not pile up for a peer that does not read.
const PONG_BACKLOG_BYTES = 65_536;

/** Everything that can be refused is refused before the upgrade, with a status and the reason as JSON. */
export function createConnect(deps: ConnectDeps): Connect {
  const { handshakesPerSecond, handshakeBurst } = RELAY_LIMITS;
  const bucket = new TokenBucket({ perSecond: handshakesPerSecond, burst: handshakeBurst, nowMs: performance.now() });
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    skipUTF8Validation: true,
    autoPong: false,
    maxPayload: LIMITS.MESSAGE_BYTES_MAX,
    maxFragments: LIMITS.MESSAGE_FRAGMENTS_MAX,
    maxBufferedChunks: LIMITS.MESSAGE_CHUNKS_MAX,
    handleProtocols: () => PROTOCOL,
  });
  let greetings = 0;

  function check(req: IncomingMessage): Admission {
    const refused = checkRequest(req) ?? checkLoad(deps.isDraining(), greetings);
    if (refused !== undefined) return { refusal: refused };
    const outcome = connectorNameOf(req) === undefined ? admitAgent(req) : admitConnector(req);
    if (outcome.refusal !== undefined) return outcome;
    // Behind the token: a flood of wrong ones cannot use up the places of agents that come back.
    if (!bucket.take(performance.now())) {
      const message = `more than ${String(handshakesPerSecond)} agents a second`;
      return { refusal: { code: "ERR_GGROK_RELAY_OVERLOADED", message, retryAfterS: 1 } };
    }
    return outcome;
  }

  function admitAgent(req: IncomingMessage): Admission {
    const { rawHeaders } = req;
    const outcome = deps.authenticator.admit({ rawHeaders, remoteAddress: req.socket.remoteAddress });
    if (outcome.isAllowed) return { principal: outcome.principal };
    return { refusal: { code: "ERR_GGROK_TOKEN_REFUSED", message: outcome.message } };
  }

  /** Without a token only the public tunnel that the path names is worth a session; the rights are asked again at each OPEN. */
  function admitConnector(req: IncomingMessage): Admission {
    const { rawHeaders, socket } = req;
    const { rights, refused } = rightsOfUpgrade(deps.authenticator, {
      rawHeaders,
      remoteAddress: socket.remoteAddress,
    });
    if (refused !== undefined) return { refusal: { code: "ERR_GGROK_TOKEN_REFUSED", message: refused } };
    const route = deps.registry.findTcp(connectorNameOf(req) ?? "");
    if (!rights.isKnown && route?.isPublic !== true) {
      const { message } = ERRORS.ERR_GGROK_CONNECT_UNAUTHORIZED;
      // 407 would be read as a proxy's on the way.
      return { refusal: { code: "ERR_GGROK_CONNECT_UNAUTHORIZED", message, status: 401 } };
    }
    const client = deps.clientOf(req);
    return { principal: undefined, connector: { rights, client, meta: { client } } };
  }

  return {
    onUpgrade(req, socket, head) {
      socket.on("error", destroyIt);
      const checked = check(req);
      if (checked.refusal !== undefined) {
        deps.metrics.handshakes.refused += 1;
        countCode(deps.metrics.refusedHandshakes, checked.refusal.code);
        answer(socket, checked.refusal);
        return;
      }
      const origin = deps.originOf(req);
      server.handleUpgrade(req, socket, head, (ws) => {
        // ws listens to errors itself from here on.
        socket.off("error", destroyIt);
        greetings += 1;
        ws.on("ping", (data) => {
          if (socket.writableLength < PONG_BACKLOG_BYTES) ws.pong(data);
        });
        greet(createWebSocketTransport(ws, socket, "listener"), { ...checked, origin }, deps, () => {
          greetings -= 1;
        });
      });
    },
  };
}

function destroyIt(this: Duplex): void {
  this.destroy();
}

type Admission = { refusal: UpgradeRefusal } | ({ refusal?: undefined } & Pick<Greeting, "principal" | "connector">);

const CONNECTOR_PATH = /^\/\$\$ggrok\/connect\/([A-Za-z0-9.-]{1,253})$/u;

/** The tunnel that the path of a connector names. */
function connectorNameOf(req: IncomingMessage): string | undefined {
  return CONNECTOR_PATH.exec((req.url ?? "").split("?", 1)[0] ?? "")?.[1]?.toLowerCase();
}

function checkRequest(req: IncomingMessage): UpgradeRefusal | undefined {
  const path = (req.url ?? "").split("?", 1)[0];
  const isKnown = path === "/$$ggrok" || path === "/$$ggrok/" || connectorNameOf(req) !== undefined;
  if (!isKnown) return { code: "ERR_GGROK_NOT_FOUND", message: ERRORS.ERR_GGROK_NOT_FOUND.message };
  if (fieldsNamed(req.rawHeaders, "origin").length > 0) {
    return { code: "ERR_GGROK_ORIGIN_REFUSED", message: ERRORS.ERR_GGROK_ORIGIN_REFUSED.message };
  }
  const isWebSocket =
    req.method === "GET" && fieldsNamed(req.rawHeaders, "upgrade").join().toLowerCase() === "websocket";
  const hasKey = /^[+/0-9A-Za-z]{22}==$/u.test(fieldsNamed(req.rawHeaders, "sec-websocket-key").join());
  if (!isWebSocket || !hasKey || fieldsNamed(req.rawHeaders, "sec-websocket-version").join() !== "13") {
    return {
      code: "ERR_GGROK_REQUEST_MALFORMED",
      message: "this path takes WebSocket upgrades (RFC 6455, version 13)",
    };
  }
  // Checked here because ws would accept the first subprotocol offered, and also none.
  const offered = fieldsNamed(req.rawHeaders, "sec-websocket-protocol").flatMap((value) =>
    value.split(",").map((name) => name.trim()),
  );
  if (offered.includes(PROTOCOL)) return undefined;
  const message = `the agent offers ${offered.join(", ") || "no subprotocol"}, this relay speaks ${SUPPORTED_PROTOCOLS.join(", ")}`;
  return { code: "ERR_GGROK_VERSION_UNSUPPORTED", message };
}

function checkLoad(isDraining: boolean, greetings: number): UpgradeRefusal | undefined {
  if (isDraining)
    return { code: "ERR_GGROK_RELAY_DRAINING", message: ERRORS.ERR_GGROK_RELAY_DRAINING.message, retryAfterS: 1 };
  if (greetings < RELAY_LIMITS.maxGreetings) return undefined;
  const message = `${String(greetings)} handshakes under way, the limit is ${String(RELAY_LIMITS.maxGreetings)}`;
  return { code: "ERR_GGROK_RELAY_OVERLOADED", message, retryAfterS: 1 };
}

function answer(socket: Duplex, refusal: UpgradeRefusal): void {
  const status = refusal.status ?? ERRORS[refusal.code].status;
  const body = JSON.stringify({ code: refusal.code, message: refusal.message, supported: SUPPORTED_PROTOCOLS });
  const fields = [
    `HTTP/1.1 ${String(status)} ${STATUS_CODES[status] ?? "Refused"}`,
    "Content-Type: application/json; charset=utf-8",
    `Content-Length: ${String(Buffer.byteLength(body))}`,
    "Cache-Control: no-store",
    `ggrok-error: ${refusal.code}`,
    "Connection: close",
    ...(status === 401 ? ["WWW-Authenticate: Bearer"] : []),
    ...(status === 426 ? [`Upgrade: websocket`, `Sec-WebSocket-Protocol: ${SUPPORTED_PROTOCOLS.join(", ")}`] : []),
    ...(refusal.retryAfterS === undefined ? [] : [`Retry-After: ${String(refusal.retryAfterS)}`]),
  ];
  socket.end(`${fields.join("\r\n")}\r\n\r\n${body}`);
  // What the peer still sends is thrown away, so that closing does not turn into a reset that eats the answer.
  socket.resume();
  const linger = setTimeout(() => socket.destroy(), RELAY_LIMITS.closeLingerMs);
  socket.once("close", () => clearTimeout(linger));
}
