import { resolve } from "node:path";
import type { Duplex } from "node:stream";
import { currentPathSource, resolvePaths } from "../config/paths.ts";
import { choose, chooseAuthorities, chooseRelay, chooseToken, loadLayers } from "../config/settings.ts";
import { configError } from "../config/values.ts";
import { Connector } from "../connect/connector.ts";
import { parseTunnelName } from "../connect/tunnel-name.ts";
import { TunnelSocket } from "../connect/tunnel-socket.ts";
import type { ConnectionOptions } from "../types.ts";
import { CLIENT_VERSION } from "../version.ts";

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
  const connector = openConnector(options);
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
    open: (gone) => connector.open(tunnel, gone),
    onClosed: () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      connector.close();
    },
  });
  socket.once("connect", () => clearTimeout(timer));
  signal?.addEventListener("abort", onAbort, { once: true });
  return socket;
}

function openConnector(options: ConnectionOptions): Connector {
  const { env } = process;
  const paths = resolvePaths(currentPathSource());
  const named = env["GGROK_CONFIG"];
  // A project file is not read: a library is not asked questions.
  const { project: _project, ...layers } = loadLayers({
    env,
    cwd: process.cwd(),
    userConfig: paths.userConfig,
    ...(named !== undefined && named !== "" && { named: resolve(named) }),
  });
  const relay = chooseRelay(layers, {
    ...(options.relay !== undefined && { relay: options.relay }),
    ...(options.insecure !== undefined && { insecure: options.insecure }),
  });
  if (relay === undefined) throw configError("no relay: give `relay`, set GGROK_RELAY, or run `ggrok login RELAY`");
  const { token } = chooseToken(layers, relay, options.token);
  const proxy = choose(options.proxy, undefined, layers, (config) => config.proxy)?.value;
  const ca = chooseAuthorities(options.ca, layers, process.cwd())?.value;
  return new Connector({
    relay: relay.value,
    stateDir: paths.stateDir,
    userAgent: `ggrok/${CLIENT_VERSION}`,
    ...(token !== undefined && { token }),
    ...(proxy !== undefined && { proxy }),
    ...(ca !== undefined && { ca }),
  });
}
