import { randomBytes } from "node:crypto";
import { resolve } from "node:path";
import { type Command, Option } from "@commander-js/extra-typings";
import type { Agent } from "../../agent/agent.ts";
import { readAuthorities } from "../../config/authorities.ts";
import { isLoopbackHost } from "../../config/relay-url.ts";
import { parseListenAddress } from "../../config/values.ts";
import { parseUsers } from "../../config/visitor-plan.ts";
import type { ProxyExchange } from "../../proxy/exchange-log.ts";
import type { ProxyListener } from "../../proxy/listen.ts";
import type { ForwardProxy, ProxyOptions } from "../../proxy/proxy.ts";
import { parseSecretProxy } from "../../proxy/proxy-url.ts";
import { parseUpstreamRule } from "../../proxy/rules.ts";
import { CLIENT_VERSION } from "../../version.ts";
import { type Context, loadContext } from "../context.ts";
import { escapeForTerminal, stringifyForTerminal } from "../escape.ts";
import { ExitCode, endOf, parseFlag, UsageError } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { LOG_FORMATS, LOG_LEVELS, type Log } from "../log.ts";
import { type LogFlags, openLog } from "../open-log.ts";
import { createJsonRenderer, createPlainRenderer, type Renderer } from "../render.ts";
import { appendCidrs } from "../visitor-flags.ts";
import type { ProxyTunnelFlags } from "./proxy-tunnel.ts";

/** Where a proxy listens that was told nothing: the port that proxies have had since Squid. */
const DEFAULT_LISTEN = "127.0.0.1:3128";
/** What people wait for after Ctrl+C. */
const STOP_GRACE_MS = 10_000;

/** What `ggrok proxy` takes. */
interface ProxyFlags extends LogFlags, ProxyTunnelFlags {
  readonly listen?: string;
  readonly upstream?: string;
  readonly upstreamRule: readonly string[];
  readonly basicAuth: readonly string[];
  readonly allowPrivate?: boolean;
  readonly json?: boolean;
}

/** Adds `ggrok proxy` to the command line. */
export function addProxy(program: Command, io: Io, setCode: (code: number) => void): void {
  program
    .command("proxy")
    .summary("serve a forward proxy: HTTP, CONNECT and SOCKS5 on one port")
    .description(
      "serve a forward proxy: HTTP, CONNECT and SOCKS5 on one port\n\nBeyond this machine it needs --basic-auth, and refuses private and local destinations.",
    )
    .option("--listen <address>", `where to listen (default without --url: "${DEFAULT_LISTEN}")`)
    .option("--url <name>", "make it a TCP tunnel of this name: this machine becomes the exit")
    .option(
      "--upstream <url>",
      "hand everything on to this proxy: http://, https:// or socks5://[user:password@]host:port",
    )
    .option(
      "--upstream-rule <rule>",
      "HOST-GLOB[:PORT]=direct or =URL; the first that fits decides; repeatable",
      append,
      [],
    )
    .option("--basic-auth <user:password>", "who may use it; also env:NAME or file:PATH; repeatable", append, [])
    .option("--allow-private", "connect to private and local addresses for others too")
    .option("--public", "with --url: let everyone who reaches the relay connect by name, without its token")
    .option("--cidr-allow <cidr>", "with --url: only these addresses may connect; repeatable", appendCidrs, [])
    .option("--cidr-deny <cidr>", "with --url: these addresses may not connect; repeatable", appendCidrs, [])
    .option("--takeover", "with --url: take the name from another living agent with the same token")
    .option("--no-retry", "with --url: end when the relay cannot be reached")
    .option("--relay <relay>", "with --url: the relay (environment: GGROK_RELAY)")
    .option(
      "--authtoken <token>",
      "with --url: token for the relay, also env:NAME or file:PATH (environment: GGROK_AUTHTOKEN)",
    )
    .option("--insecure", "with --url: allow http:// to a relay beyond this machine")
    .option("--proxy <url>", "with --url: the way to the relay (default: HTTPS_PROXY, ALL_PROXY, NO_PROXY)")
    .option("--ca <file>", "further certificate authorities for https:// proxies and the relay, PEM")
    .option("--json", "print events as JSON, one a line")
    .option("--log <place>", "stdout, stderr, a file, or false")
    .addOption(new Option("--log-format <format>", "format of the log").choices(LOG_FORMATS))
    .addOption(new Option("--log-level <level>", "how much to log").choices(LOG_LEVELS))
    .option("--config <file>", "read this configuration file only (environment: GGROK_CONFIG)")
    .action(async (flags: ProxyFlags) => setCode(await runProxy(flags, io)));
}

/** `ggrok proxy`: serves until a signal comes, or until the tunnel is over. Returns the exit code. */
async function runProxy(flags: ProxyFlags, io: Io): Promise<number> {
  refuseIdleFlags(flags);
  const { url } = flags;
  const listenText = flags.listen ?? (url === undefined ? DEFAULT_LISTEN : undefined);
  const listen = listenText === undefined ? undefined : parseFlag("--listen", () => parseListenAddress(listenText));
  const isExposed = url !== undefined || (listen !== undefined && !isLoopbackHost(listen.host));
  const context = loadContext(flags, io);
  const options = readOptions(flags, { isExposed, io });
  const log = openLog({ flags, layers: context.layers, io, isQuietByDefault: flags.json === true });
  const { createProxy } = await import("../../proxy/proxy.ts");
  const proxy = createProxy({ ...options, onExchange: (exchange) => report(exchange, { flags, io, log: log.log }) });
  let listener: ProxyListener | undefined;
  let tunnel: ServedTunnel | undefined;
  try {
    if (listen !== undefined) {
      const { listenProxy } = await import("../../proxy/listen.ts");
      listener = await listenProxy(listen, proxy);
      announce(listener, { flags, io, log: log.log });
    }
    if (url !== undefined) tunnel = await startTunnel({ flags, url, proxy, log: log.log }, context, io);
    const failure = await Promise.race([stopped(io.stop), ...(tunnel === undefined ? [] : [endOf(tunnel.agent)])]);
    if (failure !== undefined) throw failure;
    return ExitCode.Ok;
  } finally {
    listener?.close();
    await Promise.all([tunnel?.agent.close(STOP_GRACE_MS), proxy.close(STOP_GRACE_MS)]);
    tunnel?.renderer.stop();
    log.close();
  }
}

/** A flag that would do nothing is a mistake of whoever gave it. */
function refuseIdleFlags(flags: ProxyFlags): void {
  if (flags.url !== undefined) return;
  const { public: isPublic, takeover, insecure, relay, authtoken, proxy, cidrAllow, cidrDeny, retry } = flags;
  const given = Object.entries({ public: isPublic, takeover, insecure, relay, authtoken, proxy })
    .filter(([, value]) => value !== undefined)
    .map(([name]) => name);
  if (cidrAllow.length > 0) given.push("cidr-allow");
  if (cidrDeny.length > 0) given.push("cidr-deny");
  if (!retry) given.push("no-retry");
  if (given.length > 0)
    throw new UsageError(`--${given.join(", --")}: only with --url, which makes the proxy a tunnel`);
}

interface ServedTunnel {
  readonly agent: Agent;
  readonly renderer: Renderer;
}

async function startTunnel(
  o: { flags: ProxyFlags; url: string; proxy: ForwardProxy; log: Log | undefined },
  context: Context,
  io: Io,
): Promise<ServedTunnel> {
  const { composeProxyTunnel, PROXY_TUNNEL_NAME } = await import("./proxy-tunnel.ts");
  const renderer =
    o.flags.json === true ? createJsonRenderer(io, o.log) : createPlainRenderer(io, o.log, [PROXY_TUNNEL_NAME]);
  const tunnel = await composeProxyTunnel({ ...o, onNotice: (text) => renderer.notice(text) }, context, io);
  tunnel.events.tap((event) => renderer.event(event));
  tunnel.agent.start();
  return { agent: tunnel.agent, renderer };
}

function readOptions(flags: ProxyFlags, o: { isExposed: boolean; io: Io }): ProxyOptions {
  const { env, cwd } = o.io;
  const credentials = flags.basicAuth.flatMap((text) => parseFlag("--basic-auth", () => parseUsers(text, env)));
  if (o.isExposed && credentials.length === 0) {
    throw new UsageError("a proxy that others can reach needs --basic-auth user:password (or env:NAME, file:PATH)");
  }
  const { upstream } = flags;
  return {
    credentials,
    isPublicOnly: o.isExposed && flags.allowPrivate !== true,
    rules: flags.upstreamRule.map((text) => parseFlag("--upstream-rule", () => parseUpstreamRule(text, env))),
    userAgent: `ggrok/${CLIENT_VERSION}`,
    ...(upstream !== undefined && {
      upstream: parseFlag("--upstream", () => parseSecretProxy(upstream, env)),
    }),
    ...(flags.ca !== undefined && { ca: readAuthorities(resolve(cwd, flags.ca)) }),
  };
}

interface Reporting {
  readonly flags: ProxyFlags;
  readonly io: Io;
  readonly log: Log | undefined;
}

function announce(listener: ProxyListener, o: Reporting): void {
  const url = `http://${listener.address}`;
  if (o.flags.json === true) o.io.stdout.write(`${stringifyForTerminal({ event: "proxy.online", url })}\n`);
  else o.io.stdout.write(`${escapeForTerminal(url)}\n`);
  o.log?.write("info", "started proxy", { obj: "proxy", url });
}

function report(exchange: ProxyExchange, o: Reporting): void {
  const { protocol, method, target, status, error, bytesIn, bytesOut } = exchange;
  const durationMs = Math.round(exchange.durationMs * 10) / 10;
  if (o.flags.json === true) {
    const id = randomBytes(8).toString("hex");
    const event = {
      event: "request",
      id,
      protocol,
      method,
      path: target,
      status,
      error,
      durationMs,
      bytesIn,
      bytesOut,
    };
    o.io.stdout.write(`${stringifyForTerminal(event)}\n`);
  }
  o.log?.write(error === undefined ? "info" : "warn", "request", {
    obj: "proxy",
    protocol,
    method,
    target,
    status,
    error,
    durationMs,
    bytesIn,
    bytesOut,
  });
}

function stopped(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });
}

function append(value: string, previous: readonly string[]): string[] {
  return [...previous, value];
}
