import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { RELAY_LIMITS } from "../limits.ts";
import { setCarrier } from "./carrier.ts";
import type { Certificates } from "./certificates.ts";
import { setPeerAddress } from "./peer-address.ts";
import { readProxyHeader } from "./proxy-header.ts";
import { takeStart } from "./take-start.ts";

/** Settings of {@link ConnectionFront}. */
export interface FrontOptions {
  /** Trusted front ends begin their connections with a header of the PROXY protocol. */
  readonly proxyProtocol: boolean;
  readonly isTrusted: (address: string | undefined) => boolean;
  /** The relay speaks TLS itself. */
  readonly certificates?: Certificates;
}

const TLS_HANDSHAKE = 0x16;
const PLAIN_TEXT = "This port speaks TLS: use https:// instead of http://.\n";
const PLAIN_ON_TLS = `HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${String(PLAIN_TEXT.length)}\r\nConnection: close\r\n\r\n${PLAIN_TEXT}`;

/**
 * What happens to a connection before a request is read from it: who is really there, and encryption. Without settings nothing
 * happens, and connections go where they went.
 */
export class ConnectionFront {
  readonly #o: FrontOptions;
  readonly #tls: Server | undefined;
  readonly #waiting = new Map<
    string,
    { readonly carrier: Socket; readonly source: Source | undefined; readonly pass: (socket: Socket) => void }
  >();

  constructor(options: FrontOptions) {
    this.#o = options;
    this.#tls = options.certificates === undefined ? undefined : this.#createTls(options.certificates);
  }

  /** Whether every connection goes straight on. */
  get isOpen(): boolean {
    return !this.#o.proxyProtocol && this.#tls === undefined;
  }

  /** Hands the connection on when it is ready; one that breaks before is gone without a word. */
  async receive(socket: Socket, pass: (socket: Socket) => void): Promise<void> {
    const isSpokenFor = this.#o.proxyProtocol && this.#o.isTrusted(socket.remoteAddress);
    if (!isSpokenFor && this.#tls === undefined) {
      // Nothing to look for, and the app may be the one who speaks first.
      pass(socket);
      return;
    }
    const seen: { source?: Source; isPlain?: boolean } = {};
    const isAlive = await takeStart(socket, RELAY_LIMITS.headTimeoutMs, (start) => {
      const header = isSpokenFor ? readProxyHeader(start) : ({ kind: "none" } as const);
      if (header.kind === "partial") return "more";
      if (header.kind === "malformed") return "break";
      const bytes = header.kind === "whole" ? header.bytes : 0;
      if (header.kind === "whole" && header.source !== undefined) seen.source = header.source;
      if (this.#tls === undefined) return bytes;
      if (start.length === bytes) return "more";
      seen.isPlain = start[bytes] !== TLS_HANDSHAKE;
      return bytes;
    });
    if (!isAlive) return;
    if (this.#tls !== undefined && seen.isPlain === true) refusePlain(socket);
    else if (this.#tls !== undefined) this.#encrypt(this.#tls, socket, seen.source, pass);
    else {
      if (seen.source !== undefined) setPeerAddress(socket, seen.source);
      pass(socket);
    }
  }

  #encrypt(tls: Server, socket: Socket, source: Source | undefined, pass: (socket: Socket) => void): void {
    const key = peerKey(socket);
    this.#waiting.set(key, { carrier: socket, source, pass });
    socket.once("close", () => this.#waiting.delete(key));
    tls.emit("connection", socket);
  }

  #createTls(certificates: Certificates): Server {
    const server = createServer({
      SNICallback: (name, done) => done(null, certificates.contextFor(name)),
      ...certificates.first,
      // HTTP/2 and HTTP/3 are a front end's work.
      ALPNProtocols: ["http/1.1"],
      handshakeTimeout: RELAY_LIMITS.headTimeoutMs,
      allowHalfOpen: true,
    });
    server.on("secureConnection", (socket: TLSSocket) => {
      const waiting = this.#waiting.get(peerKey(socket));
      if (waiting === undefined) {
        socket.destroy();
        return;
      }
      setCarrier(socket, waiting.carrier);
      if (waiting.source !== undefined) setPeerAddress(socket, waiting.source);
      waiting.pass(socket);
    });
    certificates.subscribe(() => server.setSecureContext(certificates.first));
    server.on("tlsClientError", (_error: Error, socket: TLSSocket) => socket.destroy());
    return server;
  }
}

type Source = { readonly address: string; readonly port: number };

/** Two connections that are open at once never have the same. */
function peerKey(socket: Socket): string {
  return `${String(socket.remoteAddress)} ${String(socket.remotePort)}`;
}

function refusePlain(socket: Socket): void {
  socket.on("error", () => {});
  socket.resume();
  socket.end(PLAIN_ON_TLS);
  setTimeout(() => socket.destroy(), RELAY_LIMITS.closeLingerMs).unref();
}
