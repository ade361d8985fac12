import { once } from "node:events";
import { createServer, isIP } from "node:net";
import { configError, type ListenAddress } from "../config/values.ts";
import { systemCode } from "./failure.ts";
import type { ForwardProxy } from "./proxy.ts";

/** A port of this machine whose connections a proxy serves. */
export interface ProxyListener {
  /** `127.0.0.1:3128`, as it can be given to `curl -x`. */
  readonly address: string;
  readonly port: number;
  /** Takes no more connections; those that are open belong to the proxy. */
  close(): void;
}

/** Listens on an address for a proxy; a port that cannot be had is CONFIG_INVALID. */
export async function listenProxy(at: ListenAddress, proxy: ForwardProxy): Promise<ProxyListener> {
  const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, (socket) => {
    proxy.handle(socket);
  });
  server.listen({ host: at.host, port: at.port });
  const host = isIP(at.host) === 6 ? `[${at.host}]` : at.host;
  try {
    await once(server, "listening");
  } catch (cause) {
    throw configError(`cannot listen on ${host}:${at.port} (${systemCode(cause)})`, cause);
  }
  const bound = server.address();
  const port = bound !== null && typeof bound === "object" ? bound.port : at.port;
  // A failed accept (no file descriptors left) concerns one client alone.
  server.on("error", () => {});
  return { address: `${host}:${port}`, port, close: () => server.close() };
}
