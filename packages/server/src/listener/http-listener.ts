import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, Server as NetServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as delay, setImmediate as turn } from "node:timers/promises";
import type { ConnectionFront } from "../connection/front.ts";
import { hasSaidPeer } from "../connection/peer-address.ts";
import { RELAY_LIMITS } from "../limits.ts";
import { classifyHost, type HostRules, hostOfRequest, isReservedTarget } from "./host.ts";

/** The visitors' side. */
export interface VisitorHandlers {
  /** False closes a connection that has just come. */
  admits(socket: Socket): boolean;
  /** `request`, `checkContinue` and `checkExpectation`. */
  onRequest(req: IncomingMessage, res: ServerResponse): void;
  /** False treats an Upgrade as an ordinary request. */
  shouldUpgrade(req: IncomingMessage): boolean;
  onUpgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void;
  onConnect(req: IncomingMessage, socket: Duplex, head: Buffer): void;
  onClientError(error: Error, socket: Duplex): void;
}

/** Who takes what enters by the one port. */
export interface ListenerHandlers {
  readonly visitors: VisitorHandlers;
  /** Requests below the reserved prefix on the relay's own hosts. */
  onAdminRequest: RequestListener;
  /** Upgrades below the reserved prefix on the relay's own hosts. */
  onAgent(req: IncomingMessage, socket: Duplex, head: Buffer): void;
}

/** Settings of {@link createHttpListener}. */
export interface ListenerOptions {
  readonly hosts: HostRules;
  /** What happens to a connection before a request is read from it; nothing unless given. */
  readonly front?: ConnectionFront;
  /** Idle life of a visitor's connection. */
  readonly keepAliveMs: number;
}

/** The server that every request enters, and the sockets it has. */
export interface HttpListener {
  readonly server: Server;
  /** Binds the port; rejects when it is taken. */
  listen(port: number, address: string | undefined): Promise<AddressInfo>;
  /**
   * Goes on as before for so long, then takes no new connection: the port is free for the next process when this
   * resolves. Connections between two requests are left so long again: what was sent in that moment is on its way. One that
   * has not asked for anything yet is about to; it is left until all others have ended.
   */
  stopAccepting(lingerMs: number): Promise<void>;
  /** Resolves when every connection has ended, or after so long. */
  settled(timeoutMs: number): Promise<void>;
  /** Ends every connection that is left. */
  destroy(): void;
}

/** Idle life of a connection during a drain, in milliseconds; 0 would mean no end. */
const DRAINED_KEEP_ALIVE_MS = 1;

/** Makes the server with all its limits and sends each request where it belongs. */
export function createHttpListener(handlers: ListenerHandlers, options: ListenerOptions): HttpListener {
  const { visitors } = handlers;
  const isOwn = (req: IncomingMessage): boolean =>
    isReservedTarget(req.url ?? "") && classifyHost(hostOfRequest(req.rawHeaders), options.hosts) === "apex";
  const onRequest = (req: IncomingMessage, res: ServerResponse): void => {
    if (isOwn(req)) handlers.onAdminRequest(req, res);
    else visitors.onRequest(req, res);
  };
  const server = createServer(
    {
      insecureHTTPParser: false,
      // A request without Host is refused by us, with our own words.
      requireHostHeader: false,
      maxHeaderSize: RELAY_LIMITS.requestHeadBytes,
      headersTimeout: RELAY_LIMITS.headTimeoutMs,
      connectionsCheckingInterval: RELAY_LIMITS.connectionsCheckIntervalMs,
      // No clock over a whole request: an upload may take hours. Bodies that stall are ended by ingress.
      requestTimeout: 0,
      keepAliveTimeout: options.keepAliveMs,
      noDelay: true,
      // A visitor who vanished without a word (power, network) is found by the kernel; no clock of ours ends an idle stream.
      keepAlive: true,
      keepAliveInitialDelay: RELAY_LIMITS.tcpKeepAliveMs,
      shouldUpgradeCallback: (req: IncomingMessage): boolean => isOwn(req) || visitors.shouldUpgrade(req),
    },
    onRequest,
  );
  server.timeout = 0;
  server.maxRequestsPerSocket = 0;
  server.maxConnections = RELAY_LIMITS.maxConnections;
  // Node would cut the list silently; heads are bounded in bytes, and fields are counted where they can be refused.
  server.maxHeadersCount = 0;
  // Without these listeners Node answers 100 or 417 itself; that is the app's decision.
  server.on("checkContinue", (req: IncomingMessage, res: ServerResponse) => {
    if (isOwn(req)) res.writeContinue();
    onRequest(req, res);
  });
  server.on("checkExpectation", onRequest);
  server.on("upgrade", (req: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (isOwn(req)) handlers.onAgent(req, socket, head);
    else visitors.onUpgrade(req, socket, head);
  });
  server.on("connect", (req: IncomingMessage, socket: Duplex, head: Buffer) => visitors.onConnect(req, socket, head));
  server.on("clientError", (error: Error, socket: Duplex) => visitors.onClientError(error, socket));
  const admits = (socket: Socket): boolean => visitors.admits(socket);
  if (options.front?.isOpen === false) putBefore(server, options.front, admits);
  return new ServerListener(server, admits);
}

/** Lets the server see each connection only when the front has made it ready. */
function putBefore(server: Server, front: ConnectionFront, admits: (socket: Socket) => boolean): void {
  const listeners = server.listeners("connection");
  server.removeAllListeners("connection");
  const serve = (socket: Socket): void => {
    // It came from a front end, which may have as many as it likes; only now it is known for whom.
    if (hasSaidPeer(socket) && !admits(socket)) {
      socket.destroy();
      return;
    }
    for (const listener of listeners) listener.call(server, socket);
  };
  server.on("connection", (socket: Socket) => void front.receive(socket, serve));
}

class ServerListener implements HttpListener {
  readonly server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(server: Server, admits: (socket: Socket) => boolean) {
    this.server = server;
    const sockets = this.#sockets;
    // One for all sockets: most of them are idle, and there may be thousands.
    function forget(this: Socket): void {
      sockets.delete(this);
    }
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.on("close", forget);
      // Nothing is said to it: an answer would cost more than the connection.
      if (!admits(socket)) socket.destroy();
    });
  }

  listen(port: number, address: string | undefined): Promise<AddressInfo> {
    const { server } = this;
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen({ port, ...(address !== undefined && { host: address }) }, () => {
        server.off("error", reject);
        // Running out of files and the like: the listener goes on, and connections come back when there is room.
        server.on("error", () => {});
        resolve(server.address() as AddressInfo);
      });
    });
  }

  async stopAccepting(lingerMs: number): Promise<void> {
    await delay(lingerMs);
    // On a busy machine the time is up before anything was looked at: one more look at what has come meanwhile.
    await turn();
    if (!this.server.listening) return;
    // Not the method of http, which ends at once every connection that has not asked for anything yet.
    NetServer.prototype.close.call(this.server);
    // A visitor would send the next request here, where nothing is served any more: behind an answer comes the end.
    this.server.keepAliveTimeout = DRAINED_KEEP_ALIVE_MS;
    this.server.keepAliveTimeoutBuffer = 0;
    setTimeout(() => setImmediate(() => this.#closeIdle((socket) => socket.bytesRead > 0)), lingerMs).unref();
    // Connections taken in the last look are read in the next: their requests come before the agents hear of the end.
    await turn();
    await turn();
  }

  async settled(timeoutMs: number): Promise<void> {
    this.#closeIdle();
    const signal = AbortSignal.timeout(timeoutMs);
    await Promise.all(
      [...this.#sockets].map((socket) =>
        socket.destroyed ? undefined : once(socket, "close", { signal }).catch(() => {}),
      ),
    );
  }

  destroy(): void {
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  /**
   * Not `closeIdleConnections()`, which destroys a connection as soon as its answer is handed over, with what a slow
   * visitor has not taken of it. Between two exchanges Node has a clock on a connection, during one and after an upgrade not.
   */
  #closeIdle(isMeant: (socket: Socket) => boolean = () => true): void {
    for (const socket of this.#sockets) {
      const isIdle = (socket.timeout ?? 0) > 0 || socket.bytesRead === 0;
      if (isIdle && isMeant(socket)) socket.destroy();
    }
  }
}
