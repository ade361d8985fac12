import { isIP, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { GgrokError } from "@ggrok/protocol";
import { DialError, type DialOptions } from "../agent/dial.ts";
import { readAuthorities } from "../config/authorities.ts";
import { WayError } from "../proxy/failure.ts";
import { PROXY_LIMITS } from "../proxy/limits.ts";
import { chooseProxy } from "../proxy/relay-proxy.ts";
import { openWay } from "../proxy/way.ts";

/** Opens a connection to the relay's one port, through a company's proxy and with TLS where there are any. */
export async function openRelaySocket(options: DialOptions, signal: AbortSignal): Promise<Socket> {
  const { relay, userAgent } = options;
  const ca = options.ca === undefined ? {} : { ca: readAuthorities(options.ca) };
  const proxy = chooseProxy(relay, options.proxy, process.env)?.proxy;
  // `*.localhost` is this machine by RFC 6761, also where the system's resolver does not know it.
  const host = relay.hostname.endsWith(".localhost") ? "localhost" : relay.hostname;
  try {
    const socket = await openWay({ host, port: relay.port }, proxy, { userAgent, ...ca }, signal);
    return relay.isSecure ? await secure(socket, relay.hostname, ca.ca, signal) : socket;
  } catch (cause) {
    signal.throwIfAborted();
    const isLogin = cause instanceof WayError && cause.kind === "login";
    const code = isLogin ? "ERR_GGROK_PROXY_LOGIN_REQUIRED" : "ERR_GGROK_RELAY_UNREACHABLE";
    const why = cause instanceof Error ? cause.message : String(cause);
    const message = isLogin ? why : `${relay.origin} cannot be reached: ${why}`;
    throw new DialError(new GgrokError(code, { message, cause }), { isFinal: isLogin });
  }
}

function secure(
  socket: Socket,
  host: string,
  ca: readonly string[] | undefined,
  signal: AbortSignal,
): Promise<TLSSocket> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(PROXY_LIMITS.CONNECT_TIMEOUT_MS)]);
  return new Promise((resolve, reject) => {
    const tls = connectTls({
      socket,
      host,
      // An HTTP/2 front end has no CONNECT of this kind.
      ALPNProtocols: ["http/1.1"],
      ...(isIP(host) === 0 && { servername: host }),
      ...(ca !== undefined && { ca: [...ca] }),
    });
    const fail = (error: unknown): void => {
      deadline.removeEventListener("abort", onAbort);
      socket.destroy();
      reject(error);
    };
    const onAbort = (): void => {
      fail(signal.aborted ? signal.reason : new Error("TLS was not completed in time"));
      tls.destroy();
    };
    const onClose = (): void => fail(new Error("the connection was closed during TLS"));
    deadline.addEventListener("abort", onAbort, { once: true });
    tls.on("error", fail);
    tls.once("close", onClose);
    tls.once("secureConnect", () => {
      deadline.removeEventListener("abort", onAbort);
      tls.off("close", onClose);
      resolve(tls);
    });
    if (deadline.aborted) onAbort();
  });
}
