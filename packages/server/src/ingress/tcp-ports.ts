import { createServer, type Socket } from "node:net";
import { RELAY_LIMITS } from "../limits.ts";
import type { OpenPort } from "../registry/ports.ts";

/** The raw public ports that listen, and the connections that came through them. */
export class TcpPorts {
  readonly #address: string | undefined;
  readonly #onConnection: (socket: Socket, host: string) => void;
  readonly #sockets = new Set<Socket>();

  /** @param address where to listen; undefined means all interfaces */
  constructor(address: string | undefined, onConnection: (socket: Socket, host: string) => void) {
    this.#address = address;
    this.#onConnection = onConnection;
  }

  /** Listens on a port for the tunnel of a host; rejects when the port cannot be had. */
  open(port: number, host: string): Promise<OpenPort> {
    const server = createServer({
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: RELAY_LIMITS.tcpKeepAliveMs,
    });
    server.maxConnections = RELAY_LIMITS.maxConnectionsPerPort;
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
      this.#onConnection(socket, host);
    });
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen({ port, ...(this.#address !== undefined && { host: this.#address }) }, () => {
        server.off("error", reject);
        // Running out of files and the like: the port goes on, and connections come back when there is room.
        server.on("error", () => {});
        resolve({ close: () => void server.close() });
      });
    });
  }

  /** Ends every connection that is left. */
  destroy(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
