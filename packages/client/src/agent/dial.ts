import { type ClientRequest, Agent as HttpAgent, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { isIP, type LookupFunction, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import {
  createWebSocketTransport,
  ERRORS,
  type ErrorCode,
  GgrokError,
  LIMITS,
  PROTOCOL,
  type Transport,
} from "@ggrok/protocol";
import { WebSocket } from "ws";
import { z } from "zod";
import { readAuthorities } from "../config/authorities.ts";
import type { RelayAddress } from "../config/relay-url.ts";
import { WayError } from "../proxy/failure.ts";
import { chooseProxy } from "../proxy/relay-proxy.ts";
import { openWay } from "../proxy/way.ts";
import { describeTlsFailure } from "./tls-failure.ts";

/** Where agents connect on a relay. */
const AGENT_PATH = "/$$ggrok";
/** From the first packet to the 101, milliseconds. A relay that takes the connection and says nothing is given up on. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** How much of a refusal's body is read. */
const REFUSAL_BYTES = 16_384;

const refusalSchema = z.object({ code: z.string(), message: z.string(), supported: z.array(z.string()).optional() });

/** How to get to the relay. */
export interface DialOptions {
  readonly relay: RelayAddress;
  readonly token?: string;
  /** Proxy named by the user; else the environment's variables decide. */
  readonly proxy?: string;
  /** PEM file with further authorities. */
  readonly ca?: string;
  readonly userAgent: string;
  /** Where to connect on the relay, unless where agents do. */
  readonly path?: string;
}

/** A try that came to nothing, with what the relay said about the next one. */
export class DialError extends Error {
  readonly error: GgrokError;
  readonly isFinal: boolean;
  readonly afterMs: number;
  constructor(error: GgrokError, options: { isFinal: boolean; afterMs?: number }) {
    super(error.message, { cause: error });
    this.error = error;
    this.isFinal = options.isFinal;
    this.afterMs = options.afterMs ?? 0;
  }
}

/** Opens a WebSocket to the relay and wraps it; every failure is a DialError. */
export async function dial(options: DialOptions, signal: AbortSignal): Promise<Transport> {
  const { ws, socket } = await openSocket(options, signal);
  return createWebSocketTransport(ws, socket, "dialler");
}

/** Opens a WebSocket to the relay, by the way of the options; every failure is a DialError. */
export async function openSocket(
  options: DialOptions,
  signal: AbortSignal,
): Promise<{ readonly ws: WebSocket; readonly socket: Duplex }> {
  const { relay } = options;
  const url = `${relay.isSecure ? "wss" : "ws"}://${hostPart(relay)}${options.path ?? AGENT_PATH}`;
  const ca = options.ca === undefined ? undefined : settled(() => readAuthorities(options.ca ?? ""));
  const agent = await openProxyAgent(options, ca, signal);
  const ws = new WebSocket(url, PROTOCOL, {
    perMessageDeflate: false,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    maxPayload: LIMITS.MESSAGE_BYTES_MAX,
    maxFragments: LIMITS.MESSAGE_FRAGMENTS_MAX,
    maxBufferedChunks: LIMITS.MESSAGE_CHUNKS_MAX,
    followRedirects: false,
    headers: {
      "user-agent": options.userAgent,
      ...(options.token !== undefined && { authorization: `Bearer ${options.token}` }),
    },
    ...(agent !== undefined && { agent }),
    ...(relay.hostname.endsWith(".localhost") && { lookup: lookupLoopback }),
    ...(ca !== undefined && { ca }),
  });
  return await new Promise((resolve, reject) => {
    let socket: Duplex | undefined;
    const abort = (): void => {
      reject(signal.reason);
      ws.terminate();
    };
    const fail = (error: unknown): void => {
      signal.removeEventListener("abort", abort);
      reject(error);
    };
    signal.addEventListener("abort", abort, { once: true });
    // Stays for good: terminate() before "open" emits one more error, after this promise has settled.
    ws.on("error", (cause) => fail(unreachable(relay, cause)));
    ws.once("upgrade", (response: IncomingMessage) => {
      socket = response.socket;
    });
    ws.once("unexpected-response", (request: ClientRequest, response: IncomingMessage) => {
      void readRefusal(response).then((body) => {
        fail(refusalOf(relay, response, body));
        request.destroy();
        ws.terminate();
      });
    });
    ws.once("open", () => {
      signal.removeEventListener("abort", abort);
      if (socket === undefined) {
        fail(unreachable(relay, new Error("no socket under the WebSocket")));
        ws.terminate();
        return;
      }
      resolve({ ws, socket });
    });
  });
}

function hostPart(relay: RelayAddress): string {
  const host = isIP(relay.hostname) === 6 ? `[${relay.hostname}]` : relay.hostname;
  return `${host}:${relay.port}`;
}

/** `*.localhost` is this machine by RFC 6761, also where the system's resolver does not know it. */
const lookupLoopback: LookupFunction = (_hostname, options, callback) => {
  if (options.all === true) {
    callback(null, [
      { address: "127.0.0.1", family: 4 },
      { address: "::1", family: 6 },
    ]);
  } else callback(null, "127.0.0.1", 4);
};

/** A wrong setting ends the agent: trying again would not put it right. */
function settled<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof GgrokError ? new DialError(error, { isFinal: true }) : error;
  }
}

/** The way through a company's proxy, from `--proxy` or the environment: an agent with that one connection in it. */
async function openProxyAgent(
  options: DialOptions,
  ca: readonly string[] | undefined,
  signal: AbortSignal,
): Promise<HttpAgent | undefined> {
  const { relay } = options;
  const chosen = settled(() => chooseProxy(relay, options.proxy, process.env));
  if (chosen === undefined) return undefined;
  let socket: Socket;
  try {
    const to = { host: relay.hostname, port: relay.port };
    const way = { userAgent: options.userAgent, ...(ca !== undefined && { ca }) };
    socket = await openWay(to, chosen.proxy, way, signal);
  } catch (cause) {
    if (!(cause instanceof WayError)) throw cause;
    // A password that is sent again and again gets its account locked.
    const isLogin = cause.kind === "login";
    const code = isLogin ? "ERR_GGROK_PROXY_LOGIN_REQUIRED" : "ERR_GGROK_RELAY_UNREACHABLE";
    const message = isLogin ? cause.message : `${relay.origin} cannot be reached: ${cause.message}`;
    throw new DialError(new GgrokError(code, { message, cause }), { isFinal: isLogin });
  }
  if (signal.aborted) socket.destroy();
  signal.throwIfAborted();
  const agent = relay.isSecure ? new HttpsAgent() : new HttpAgent();
  agent.createConnection = (tls) => (relay.isSecure ? connectTls({ ...(tls as ConnectionOptions), socket }) : socket);
  return agent;
}

async function readRefusal(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of response) {
      const part = Buffer.from(chunk as Uint8Array);
      length += part.length;
      chunks.push(part);
      if (length >= REFUSAL_BYTES) break;
    }
  } catch {
    // What has come so far has to do; the status alone says most of it.
  }
  return Buffer.concat(chunks).subarray(0, REFUSAL_BYTES).toString("utf8");
}

/** An answer other than 101: a relay's own words where it is one, else the status of whatever stands there. */
function refusalOf(relay: RelayAddress, response: IncomingMessage, body: string): DialError {
  const status = response.statusCode ?? 0;
  const afterMs = retryAfterMs(response.headers["retry-after"]);
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    parsed = undefined;
  }
  const refusal = refusalSchema.safeParse(parsed);
  if (refusal.success && isErrorCode(refusal.data.code)) {
    const { code, message, supported } = refusal.data;
    const isFinal = status < 500 && status !== 429 && status !== 408;
    const versions =
      supported === undefined || code !== "ERR_GGROK_VERSION_UNSUPPORTED"
        ? ""
        : ` (this agent speaks ${PROTOCOL}, the relay ${supported.join(", ")})`;
    return new DialError(new GgrokError(code, { message: `${message}${versions}` }), { isFinal, afterMs });
  }
  if (status === 401) return new DialError(new GgrokError("ERR_GGROK_TOKEN_REFUSED"), { isFinal: true });
  if (status === 426) return new DialError(new GgrokError("ERR_GGROK_VERSION_UNSUPPORTED"), { isFinal: true });
  const message = `${relay.origin} answered ${status}${status < 500 && status !== 429 ? ": no ggrok relay there" : ""}`;
  return new DialError(new GgrokError("ERR_GGROK_RELAY_UNREACHABLE", { message }), { isFinal: false, afterMs });
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}

function retryAfterMs(value: string | undefined): number {
  const seconds = Number(value);
  return value !== undefined && Number.isFinite(seconds) && seconds > 0 ? seconds * 1_000 : 0;
}

function unreachable(relay: RelayAddress, cause: unknown): DialError {
  if (cause instanceof DialError) return cause;
  const message = `${relay.origin} cannot be reached: ${describeCause(relay, cause)}`;
  return new DialError(new GgrokError("ERR_GGROK_RELAY_UNREACHABLE", { message, cause }), { isFinal: false });
}

function describeCause(relay: RelayAddress, cause: unknown): string {
  if (cause instanceof AggregateError && cause.errors.length > 0) return describeCause(relay, cause.errors[0]);
  if (!(cause instanceof Error)) return String(cause);
  const code = "code" in cause ? String(cause.code) : "";
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "ERR_SSL_PACKET_LENGTH_TOO_LONG" || code === "EPROTO") {
    return `it does not speak TLS; a relay without TLS on this machine is written http://${hostPart(relay)}`;
  }
  return describeTlsFailure(code) ?? (cause.message === "" ? code : cause.message);
}
