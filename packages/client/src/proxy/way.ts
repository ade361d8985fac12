import type { LookupAddress } from "node:dns";
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { askHttpProxy } from "./ask-http-proxy.ts";
import { askSocksProxy } from "./ask-socks-proxy.ts";
import { type Destination, findAddresses, formatAuthority, type Resolve, resolveBySystem } from "./destination.ts";
import { type FailedHop, kindOfError, systemCode, WayError } from "./failure.ts";
import { PROXY_LIMITS } from "./limits.ts";
import type { ProxyAddress } from "./proxy-url.ts";

/** How to open connections. */
export interface WayOptions {
  /** Certificates to trust instead of the system's, for proxies behind TLS. */
  readonly ca?: readonly string[];
  /** Default: the system's resolver. */
  readonly resolve?: Resolve;
  /** Refuses every address that is not the public internet's, of direct connections. */
  readonly isPublicOnly?: boolean;
  /** Value of the Via field that CONNECT carries, so that a circle is noticed. */
  readonly via?: string;
  readonly userAgent?: string;
  readonly timeoutMs?: number;
}

/** Opens a connection to a destination, through a proxy where one is given. Every failure is a WayError. */
export async function openWay(
  to: Destination,
  proxy: ProxyAddress | undefined,
  o: WayOptions,
  signal: AbortSignal,
): Promise<Socket> {
  return await withDeadline(o.timeoutMs, signal, async (deadline) => {
    if (proxy === undefined)
      return await openTcp(to, "destination", { ...o, isPublicOnly: o.isPublicOnly === true }, deadline);
    const socket = await openToProxy(proxy, o, deadline);
    await askProxy(socket, to, proxy, o, deadline);
    return socket;
  });
}

/** Opens a connection to a proxy itself, TLS included, ready to be asked. */
export async function openToProxy(proxy: ProxyAddress, o: WayOptions, signal: AbortSignal): Promise<Socket> {
  return await withDeadline(o.timeoutMs, signal, async (deadline) => {
    const at = { host: proxy.hostname, port: proxy.port };
    // The operator named this proxy: its address is no client's wish, so it may be a private one.
    const socket = await openTcp(at, "proxy", { ...o, isPublicOnly: false }, deadline);
    return proxy.scheme === "https" ? await secureProxy(socket, proxy, o, deadline) : socket;
  });
}

/** Asks a connected proxy for a connection to the destination; the socket is destroyed when there is none. */
export async function askProxy(
  socket: Socket,
  to: Destination,
  proxy: ProxyAddress,
  o: WayOptions,
  signal: AbortSignal,
): Promise<void> {
  try {
    if (proxy.scheme === "socks5") await askSocksProxy(socket, to, proxy, signal);
    else await askHttpProxy(socket, to, proxy, { ...o, signal });
  } catch (error) {
    socket.destroy();
    throw signal.aborted ? late("proxy", `the proxy ${proxy.label} did not answer in time`, signal) : error;
  }
}

/** Opens a TCP connection, to the first of the host's addresses that takes it. */
export async function openTcp(
  to: Destination,
  hop: FailedHop,
  o: { resolve?: Resolve; isPublicOnly: boolean },
  signal: AbortSignal,
): Promise<Socket> {
  const name = hop === "proxy" ? `the proxy ${formatAuthority(to)}` : formatAuthority(to);
  const found = findAddresses(to.host, { resolve: o.resolve ?? resolveBySystem, isPublicOnly: o.isPublicOnly, hop });
  const addresses = await orAbort(found, signal).catch((error: unknown) => {
    throw signal.aborted ? late(hop, `the name ${to.host} did not resolve in time`, signal) : error;
  });
  const socket = connectTcp({
    host: to.host,
    port: to.port,
    lookup: (_hostname, options, done) => {
      const [first] = addresses;
      if (options.all === true || first === undefined) done(null, [...addresses] as LookupAddress[]);
      else done(null, first.address, first.family);
    },
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: PROXY_LIMITS.ADDRESS_ATTEMPT_MS,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
  });
  try {
    await settled(socket, "connect", signal);
    return socket;
  } catch (cause) {
    if (signal.aborted) throw late(hop, `${name} accepted no connection in time`, signal);
    const kind = kindOfError(cause, "unreachable");
    const why = kind === "refused" ? "refused the connection" : "cannot be reached";
    throw new WayError(hop, kind, `${name} ${why}${codeOf(cause)}`, { cause });
  }
}

async function secureProxy(
  socket: Socket,
  proxy: ProxyAddress,
  o: WayOptions,
  signal: AbortSignal,
): Promise<TLSSocket> {
  const secure = connectTls({
    socket,
    host: proxy.hostname,
    ALPNProtocols: ["http/1.1"],
    ...(isIP(proxy.hostname) === 0 && { servername: proxy.hostname }),
    ...(o.ca !== undefined && { ca: [...o.ca] }),
  });
  try {
    await settled(secure, "secureConnect", signal);
    return secure;
  } catch (cause) {
    if (signal.aborted) throw late("proxy", `the proxy ${proxy.label} did not complete TLS in time`, signal);
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new WayError("proxy", "tls", `TLS with the proxy ${proxy.label} failed: ${why}`, { cause });
  }
}

/** Waits for a socket's event; on failure and on abort the socket is gone. */
function settled(socket: Socket, event: "connect" | "secureConnect", signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      socket.off(event, onReady).off("close", onClose);
      signal.removeEventListener("abort", onAbort);
    };
    const fail = (error: unknown): void => {
      stop();
      socket.destroy();
      reject(error);
    };
    const onReady = (): void => {
      stop();
      resolve();
    };
    const onClose = (): void => fail(Object.assign(new Error("the connection was closed"), { code: "ECONNRESET" }));
    const onAbort = (): void => fail(signal.reason);
    // Stays: a late error of a socket nobody took over yet must not end the process.
    socket.on("error", fail);
    socket.on(event, onReady).on("close", onClose);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}

async function withDeadline<T>(
  timeoutMs: number | undefined,
  signal: AbortSignal,
  open: (deadline: AbortSignal) => Promise<T>,
): Promise<T> {
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(new Late()), timeoutMs ?? PROXY_LIMITS.CONNECT_TIMEOUT_MS);
  try {
    return await open(AbortSignal.any([signal, timeout.signal]));
  } finally {
    clearTimeout(timer);
  }
}

class Late extends Error {}

/** Our own deadline is a failure of the hop; the caller's abort is the caller's. */
function late(hop: FailedHop, message: string, signal: AbortSignal): unknown {
  return signal.reason instanceof Late ? new WayError(hop, "timeout", message) : signal.reason;
}

function orAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

function codeOf(error: unknown): string {
  const cause: unknown = error instanceof AggregateError ? error.errors.at(-1) : error;
  const code = systemCode(cause);
  return code === "" ? "" : ` (${code})`;
}
