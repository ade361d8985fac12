import type { Duplex } from "node:stream";
import { parseTunnelName } from "../connect/tunnel-name.ts";
import { TunnelSocket } from "../connect/tunnel-socket.ts";
import type { ConnectionOptions } from "../types.ts";
import { CLIENT_VERSION } from "../version.ts";
import { chooseRelayWay } from "./relay-way.ts";

const DEFAULT_TIMEOUT_MS = 30_000;

/**
 * Connects to a TCP tunnel through the relay's one port. The Duplex is returned at once, as `net.connect()` does: it emits
 * `connect` when the app has taken the connection, and is the socket for `http.Agent`, `tls.connect` or a database driver.
 * Failures are errors with a `code`: `ERR_GGROK_CONNECT_UNAUTHORIZED`, `ERR_GGROK_CONNECT_REFUSED`,
 * `ERR_GGROK_UPSTREAM_REFUSED`, `ERR_GGROK_ENDPOINT_OFFLINE`, `ERR_GGROK_RELAY_UNREACHABLE`, `ETIMEDOUT`.
 */
export function createConnection(options: ConnectionOptions): Duplex {
  const { name, timeoutMs = DEFAULT_TIMEOUT_MS, allowHalfOpen = false, signal } = options;
  signal?.throwIfAborted();
  const tunnel = parseTunnelName(name);
  const { way, stateDir } = chooseRelayWay(options, options.token);
  // The command line is in the same file: it must not begin with what only a connection needs.
  const connector = import("../connect/connector.ts").then(
    ({ Connector }) => new Connector({ ...way, stateDir, userAgent: `ggrok/${CLIENT_VERSION}` }),
  );
  const timer = setTimeout(() => {
    const message = `the tunnel ${name} did not answer within ${String(timeoutMs)} ms`;
    socket.destroy(Object.assign(new Error(message), { code: "ETIMEDOUT" }));
  }, timeoutMs);
  const onAbort = (): void => {
    const { reason } = signal ?? {};
    socket.destroy(reason instanceof Error ? reason : new Error(String(reason)));
  };
  const socket = new TunnelSocket({
    allowHalfOpen,
    open: async (gone) => await (await connector).open(tunnel, gone),
    onClosed: () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      // One that could not be made has been told by the socket.
      connector.then((made) => made.close()).catch(() => {});
    },
  });
  socket.once("connect", () => clearTimeout(timer));
  signal?.addEventListener("abort", onAbort, { once: true });
  return socket;
}
