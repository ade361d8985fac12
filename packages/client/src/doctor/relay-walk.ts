import { request } from "node:http";
import { isIP, type Socket } from "node:net";
import type { RelayAddress } from "../config/relay-url.ts";
import { findAddresses, formatAuthority, resolveBySystem } from "../proxy/destination.ts";
import { systemCode, WayError } from "../proxy/failure.ts";
import type { ProxyAddress } from "../proxy/proxy-url.ts";
import type { RelayProxy } from "../proxy/relay-proxy.ts";
import { askProxy, openTcp, openToProxy } from "../proxy/way.ts";
import { inspectTls } from "./certificates.ts";
import { FailureExit, type Finding, failed, fine, skipped, warning } from "./finding.ts";

/** A clock that is further off than this breaks certificates, signatures and one-time passwords. */
const CLOCK_SKEW_MS = 60_000;
/** For each hop. */
const HOP_TIMEOUT_MS = 10_000;
const HEALTH_PATH = "/$$ggrok/health";
const HEALTH_BYTES = 16_384;

/** What the walk to the relay needs. */
export interface RelayWalk {
  readonly relay: RelayAddress;
  readonly proxy: RelayProxy | undefined;
  readonly ca?: readonly string[];
  readonly userAgent: string;
  readonly now: () => Date;
  readonly signal: AbortSignal;
}

/** From the name to the relay's own answer: each hop is walked as the agent walks it, and judged by itself. */
export async function* walkToRelay(o: RelayWalk): AsyncGenerator<Finding> {
  const { relay, proxy } = o;
  const first = proxy === undefined ? relay : proxy.proxy;
  const dns = await lookUp(first.hostname, proxy);
  yield dns;
  if (dns.status === "failed") return;
  const tcp = await reach(first, proxy, o);
  yield tcp.finding;
  if (tcp.socket === undefined) return;
  const way = proxy === undefined ? { socket: tcp.socket, finding: NO_PROXY } : await askFor(relay, proxy, o);
  if (proxy !== undefined) tcp.socket.destroy();
  yield way.finding;
  if (way.socket === undefined) return;
  let { socket } = way;
  try {
    if (!relay.isSecure) yield skipped("tls", "the relay is reached by http: nothing is encrypted");
    else {
      const tls = await secured(socket, o);
      yield tls.finding;
      if (tls.socket === undefined) return;
      socket = tls.socket;
    }
    // Behind a bad certificate too: nothing secret is sent, and the clock may be what is wrong.
    yield* askHealth(socket, o);
  } finally {
    socket.destroy();
  }
}

const NO_PROXY = skipped("proxy", "none: neither --proxy nor the environment names one for this relay");

/** A connection with what is to be said about it; without one where the hop failed. */
interface Step {
  readonly socket: Socket | undefined;
  readonly finding: Finding;
}

async function lookUp(hostname: string, proxy: RelayProxy | undefined): Promise<Finding> {
  try {
    const found = await findAddresses(hostname, { resolve: resolveBySystem, isPublicOnly: false, hop: "destination" });
    const whose = proxy === undefined ? "the relay's" : "the proxy's";
    const rest = proxy === undefined ? "" : "; the relay's name is resolved by the proxy";
    if (isIP(hostname) !== 0) return fine("dns", `${hostname}, ${whose} address, needs none${rest}`);
    return fine("dns", `${hostname}, ${whose} name, is ${found.map(({ address }) => address).join(", ")}${rest}`);
  } catch (error) {
    const fix =
      proxy === undefined
        ? "Check the relay's name. In a company's network names of the outside often resolve at its proxy alone: give it with --proxy or HTTPS_PROXY."
        : `Check the proxy's name in ${proxy.source}; outside the company's network it may not exist: then unset it.`;
    return failed("dns", messageOf(error), fix, FailureExit.Unreachable);
  }
}

async function reach(at: RelayAddress | ProxyAddress, proxy: RelayProxy | undefined, o: RelayWalk): Promise<Step> {
  const to = { host: at.hostname, port: at.port };
  try {
    const socket = await openTcp(to, "destination", { isPublicOnly: false }, hopSignal(o.signal));
    const from = `${socket.remoteAddress ?? "?"} port ${socket.remotePort ?? "?"}`;
    const whose = proxy === undefined ? "the relay" : "the proxy";
    return { socket, finding: fine("tcp", `${whose} accepts connections at ${from}`) };
  } catch (error) {
    const fix =
      proxy === undefined
        ? "Check that the relay runs at this port. If other sites work, a firewall lets only a proxy out: give it with --proxy or HTTPS_PROXY."
        : `Check the proxy's address in ${proxy.source}.`;
    const message = isTimeout(error) ? `${formatAuthority(to)} does not answer within 10 s` : messageOf(error);
    return { socket: undefined, finding: failed("tcp", message, fix, FailureExit.Unreachable) };
  }
}

/** Asks the proxy for a connection to the relay, on a connection of its own. */
async function askFor(relay: RelayAddress, proxy: RelayProxy, o: RelayWalk): Promise<Step> {
  const to = { host: relay.hostname, port: relay.port };
  const signal = hopSignal(o.signal);
  const options = { userAgent: o.userAgent, ...(o.ca !== undefined && { ca: o.ca }) };
  try {
    const socket = await openToProxy(proxy.proxy, options, signal);
    await askProxy(socket, to, proxy.proxy, options, signal);
    const login = proxy.proxy.username === undefined ? "without a login" : "with a login";
    const message = `${proxy.proxy.label} (from ${proxy.source}, ${login}) connects to ${formatAuthority(to)}`;
    return { socket, finding: fine("proxy", message) };
  } catch (error) {
    return { socket: undefined, finding: judgeProxy(error, proxy) };
  }
}

function judgeProxy(error: unknown, proxy: RelayProxy): Finding {
  const kind = error instanceof WayError ? error.kind : "reset";
  const message = isTimeout(error) ? `the proxy ${proxy.proxy.label} does not answer within 10 s` : messageOf(error);
  if (kind === "login") {
    const scheme = proxy.proxy.scheme;
    const fix = `Write user and password into ${proxy.source}: ${scheme}://user:password@host:port, special characters percent-encoded.`;
    return failed("proxy", message, fix, FailureExit.Config);
  }
  const fixes: Readonly<Record<string, string>> = {
    tls: "Give the authority of the proxy's certificate with --ca, or write http:// if the proxy speaks no TLS itself.",
    malformed: `Check scheme and port in ${proxy.source}: http://, https:// and socks5:// proxies usually have different ports.`,
    declined: "Ask whoever runs the proxy to allow CONNECT to the relay's host and port; many allow port 443 alone.",
  };
  return failed(
    "proxy",
    message,
    fixes[kind] ?? `Check the proxy's address in ${proxy.source}.`,
    FailureExit.Unreachable,
  );
}

async function secured(socket: Socket, o: RelayWalk): Promise<Step> {
  try {
    return await inspectTls(socket, {
      hostname: o.relay.hostname,
      ...(o.ca !== undefined && { ca: o.ca }),
      now: o.now(),
      signal: hopSignal(o.signal),
    });
  } catch (error) {
    socket.destroy();
    const fix = `What answers at this port speaks no TLS: check the port, or write http://${o.relay.hostname}:${o.relay.port} for a relay on this machine without TLS.`;
    const why = systemCode(error) === "" ? messageOf(error) : systemCode(error);
    return { socket: undefined, finding: failed("tls", `no TLS there (${why})`, fix, FailureExit.Unreachable) };
  }
}

/** The relay's open health page tells that it is one, and its Date field how our clock is. Nothing secret is sent. */
async function* askHealth(socket: Socket, o: RelayWalk): AsyncGenerator<Finding> {
  const sentAt = o.now().getTime();
  let answer: HealthAnswer;
  try {
    answer = await getHealth(socket, o);
  } catch (error) {
    const fix = "Something accepts the connection and answers nothing that is HTTP: check the port.";
    yield failed("relay", `no answer: ${messageOf(error)}`, fix, FailureExit.Unreachable);
    return;
  }
  const middle = (sentAt + o.now().getTime()) / 2;
  yield judgeHealth(answer, o.relay);
  yield judgeClock(answer.date, middle);
}

function judgeHealth(answer: HealthAnswer, relay: RelayAddress): Finding {
  if (answer.status === 200 && /"status"\s*:\s*"/.test(answer.body)) {
    return fine("relay", `a relay answers at ${relay.origin}`);
  }
  const code = answer.errorCode === undefined ? "" : ` (${answer.errorCode})`;
  const message = `${relay.origin} answered ${answer.status}${code}, which is not a relay's health page`;
  const fix =
    answer.errorCode === undefined
      ? "Check the relay's name and port: another server answers there, or a login page of the network."
      : "This host is one of the relay's tunnels: give the relay's own host.";
  return failed("relay", message, fix, FailureExit.Unreachable);
}

function judgeClock(date: string | undefined, localMs: number): Finding {
  const theirs = Date.parse(date ?? "");
  if (Number.isNaN(theirs)) return skipped("clock", "the relay's answer has no date to compare with");
  // The field is cut to the second.
  const skewMs = localMs - (theirs + 500);
  const seconds = Math.round(Math.abs(skewMs) / 1_000);
  if (Math.abs(skewMs) <= CLOCK_SKEW_MS) return fine("clock", `within ${Math.max(1, seconds)} s of the relay's`);
  const message = `this machine's clock is ${seconds} s ${skewMs > 0 ? "ahead of" : "behind"} the relay's`;
  return warning("clock", message, "Set the clock of the one that is wrong; with NTP it stays right.");
}

interface HealthAnswer {
  readonly status: number;
  readonly body: string;
  readonly date: string | undefined;
  readonly errorCode: string | undefined;
}

function getHealth(socket: Socket, o: RelayWalk): Promise<HealthAnswer> {
  return new Promise((resolve, reject) => {
    const call = request(
      {
        path: HEALTH_PATH,
        headers: { host: new URL(o.relay.origin).host, "user-agent": o.userAgent, accept: "application/json" },
        createConnection: () => socket,
        signal: hopSignal(o.signal),
      },
      (response) => {
        let body = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          body += chunk;
          if (body.length > HEALTH_BYTES) response.destroy();
        });
        response.on("error", reject);
        response.on("close", () => {
          const code = response.headers["ggrok-error"];
          resolve({
            status: response.statusCode ?? 0,
            body,
            date: response.headers.date,
            errorCode: typeof code === "string" ? code : undefined,
          });
        });
      },
    );
    call.on("error", reject);
    call.end();
  });
}

function hopSignal(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(HOP_TIMEOUT_MS)]);
}

function isTimeout(error: unknown): boolean {
  return (
    error instanceof Error && (error.name === "TimeoutError" || (error instanceof WayError && error.kind === "timeout"))
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
