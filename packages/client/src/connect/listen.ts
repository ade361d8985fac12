import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { ListenAddress } from "../config/values.ts";
import { breakOff, join } from "../join.ts";

/** A local address whose connections go to a TCP tunnel. */
export interface TunnelListener {
  readonly address: AddressInfo;
  /** Takes nothing new, lets open connections end for at most `graceMs`. */
  close(graceMs: number): Promise<void>;
}

/**
 * Listens, and joins every connection to one of the tunnel.
 *
 * @param open opens a connection to the tunnel
 * @param onError a connection could not be opened; it has been reset
 */
export async function listenFor(
  address: ListenAddress,
  open: (signal: AbortSignal) => Promise<Duplex>,
  onError: (error: unknown) => void,
): Promise<TunnelListener> {
  const locals = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true, pauseOnConnect: true });
  server.on("connection", (local: Socket) => {
    locals.add(local);
    const gone = new AbortController();
    local.on("error", () => {});
    local.once("close", () => {
      locals.delete(local);
      gone.abort(new Error("the local connection was closed"));
    });
    open(gone.signal).then(
      (remote) => {
        if (local.destroyed) breakOff(remote);
        void join(local, remote);
        local.resume();
      },
      (error: unknown) => {
        if (!gone.signal.aborted) onError(error);
        breakOff(local);
      },
    );
  });
  server.listen(address.port, address.host);
  await once(server, "listening");
  return {
    address: server.address() as AddressInfo,
    async close(graceMs) {
      const closed = once(server, "close");
      server.close();
      const timer = setTimeout(() => {
        for (const local of locals) breakOff(local);
      }, graceMs);
      await closed;
      clearTimeout(timer);
    },
  };
}
