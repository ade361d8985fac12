import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { GgrokError } from "@ggrok/protocol";
import { endGently, refuse } from "./answer.ts";
import { ProxyClient } from "./client.ts";
import { serveConnect } from "./connect.ts";
import { Credentials } from "./credentials.ts";
import type { OnProxyExchange } from "./exchange-log.ts";
import { type ExitOptions, Exits } from "./exits.ts";
import { serveRequest } from "./http.ts";
import { PROXY_LIMITS } from "./limits.ts";
import { readMessage } from "./read-message.ts";
import { serveSocks } from "./socks.ts";
import { encodeMethod, SOCKS5, SocksMethod } from "./socks-messages.ts";

/** How a forward proxy is to be. */
export interface ProxyOptions extends ExitOptions {
  /** `user:password` each; none: everyone may use it. */
  readonly credentials?: readonly string[];
  readonly onExchange?: OnProxyExchange;
  /** Clients at a time; default: {@link PROXY_LIMITS}. */
  readonly clientsMax?: number;
  /** From the first byte to a whole request; default: {@link PROXY_LIMITS}. */
  readonly headTimeoutMs?: number;
  /** Between a client's requests; default: {@link PROXY_LIMITS}. */
  readonly idleTimeoutMs?: number;
}

/** A forward proxy that is handed its connections, wherever they come from. */
export interface ForwardProxy {
  /** Serves a connection to its end: HTTP or SOCKS5, told apart by its first byte. */
  handle(socket: Duplex): void;
  /** Connections that are open. */
  readonly clients: number;
  /** Takes no more, lets open exchanges end for this long, then cuts them. */
  close(graceMs?: number): Promise<void>;
}

/** Makes a forward proxy: absolute-form HTTP, CONNECT and SOCKS5 on one port. */
export function createProxy(options: ProxyOptions): ForwardProxy {
  return new OnePortProxy(options);
}

class OnePortProxy implements ForwardProxy {
  readonly #options: ProxyOptions;
  readonly #credentials: Credentials;
  readonly #exits: Exits;
  readonly #server: Server;
  readonly #clients = new Map<Duplex, ProxyClient>();
  readonly #stop = new AbortController();
  #closing: Promise<void> | undefined;
  #onEmpty: (() => void) | undefined;

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.#credentials = new Credentials(options.credentials ?? []);
    this.#exits = new Exits(options);
    this.#server = createServer({ maxHeaderSize: PROXY_LIMITS.HEAD_BYTES_MAX, keepAliveTimeout: 0, requestTimeout: 0 });
    this.#server.maxHeadersCount = 0;
    const onRequest = (request: IncomingMessage, response: ServerResponse): void => this.#onRequest(request, response);
    this.#server.on("request", onRequest);
    // The destination says whether to go on; its word is passed on.
    this.#server.on("checkContinue", onRequest);
    this.#server.on("checkExpectation", onRequest);
    this.#server.on("connect", (request, socket, early) => {
      this.#clients.get(socket)?.begin(() => void serveConnect(request, socket, early, this.#served()));
    });
    this.#server.on("clientError", (error: NodeJS.ErrnoException, socket) => this.#onClientError(error, socket));
  }

  get clients(): number {
    return this.#clients.size;
  }

  handle(socket: Duplex): void {
    const clientsMax = this.#options.clientsMax ?? PROXY_LIMITS.CLIENTS_MAX;
    socket.on("error", () => {});
    if (this.#stop.signal.aborted || this.#clients.size >= clientsMax + PROXY_LIMITS.REFUSED_CLIENTS_MAX) {
      socket.destroy();
      return;
    }
    const isFull = this.#clients.size >= clientsMax;
    const late = new AbortController();
    const { headTimeoutMs = PROXY_LIMITS.HEAD_TIMEOUT_MS, idleTimeoutMs = PROXY_LIMITS.IDLE_CLIENT_MS } = this.#options;
    const client = new ProxyClient(socket, { headTimeoutMs, idleTimeoutMs }, (isFirst) => {
      late.abort(new Error("too slow"));
      this.#onLate(client, isFirst);
    });
    this.#clients.set(socket, client);
    socket.once("close", () => {
      this.#clients.delete(socket);
      if (this.#clients.size === 0) this.#onEmpty?.();
    });
    void this.#serve(client, isFull, late.signal);
  }

  close(graceMs: number = 10_000): Promise<void> {
    this.#closing ??= this.#drain(graceMs);
    return this.#closing;
  }

  async #drain(graceMs: number): Promise<void> {
    this.#stop.abort(new Error("the proxy closes"));
    const emptied = new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
      if (this.#clients.size === 0) resolve();
    });
    for (const client of [...this.#clients.values()]) if (!client.isBusy) client.socket.destroy();
    const timer = setTimeout(() => {
      for (const { socket } of [...this.#clients.values()]) socket.destroy();
    }, graceMs);
    await emptied;
    clearTimeout(timer);
    this.#exits.destroy();
    this.#server.close();
  }

  async #serve(client: ProxyClient, isFull: boolean, late: AbortSignal): Promise<void> {
    const { socket } = client;
    let first: number | undefined;
    try {
      // Nothing is taken: whoever reads next begins with the same byte.
      ({ first } = await readMessage(socket, (bytes) => ({ first: bytes[0], length: 0 }), 1, late));
    } catch {
      socket.destroy();
      return;
    }
    if (isFull) {
      if (first === SOCKS5) endGently(socket, encodeMethod(SocksMethod.Unacceptable));
      else refuse(socket, new GgrokError("ERR_GGROK_PROXY_OVERLOADED"), "Service Unavailable");
    } else if (first === SOCKS5) {
      await serveSocks(socket, { ...this.#served(), onRequest: () => client.begin(() => {}), signal: late });
    } else if (first === 4) {
      // SOCKS4 has its own reply: request rejected.
      endGently(socket, Buffer.from([0, 0x5b, 0, 0, 0, 0, 0, 0]));
    } else if (isPrintable(first)) {
      // Node ends a connection with destroySoon(), which would not wait for the client to read a refusal.
      client.speaksHttp = true;
      Object.assign(socket, { destroySoon: () => endGently(socket) });
      this.#server.emit("connection", socket);
    } else socket.destroy();
  }

  #served(): { credentials: Credentials; exits: Exits; onExchange?: OnProxyExchange } {
    const { onExchange } = this.#options;
    return { credentials: this.#credentials, exits: this.#exits, ...(onExchange !== undefined && { onExchange }) };
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    const client = this.#clients.get(request.socket);
    response.once("close", () => {
      if (this.#stop.signal.aborted) endGently(request.socket);
      client?.end();
    });
    client?.begin(() => void serveRequest(request, response, this.#served()));
  }

  #onLate(client: ProxyClient, isFirst: boolean): void {
    // An idle connection is closed without a word; one that began to ask over HTTP hears why.
    if (!isFirst || !client.speaksHttp) client.socket.destroy();
    else refuse(client.socket, new GgrokError("ERR_GGROK_REQUEST_TIMEOUT"), "Request Timeout");
  }

  #onClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
    // Garbage behind a request whose answer is on its way cannot be answered.
    if (error.code === "ECONNRESET" || !socket.writable || this.#clients.get(socket)?.isBusy === true) {
      socket.destroy();
      return;
    }
    const code =
      error.code === "HPE_HEADER_OVERFLOW" ? "ERR_GGROK_REQUEST_HEADERS_TOO_LARGE" : "ERR_GGROK_REQUEST_MALFORMED";
    const failure = new GgrokError(code);
    refuse(socket, failure, STATUS_CODES[failure.status] ?? "Bad Request");
  }
}

/** A method begins with a letter; anything else below is TLS or noise. */
function isPrintable(byte: number | undefined): boolean {
  return byte !== undefined && byte > 0x20 && byte < 0x7f;
}
