import { randomBytes } from "node:crypto";
import { resolve } from "node:path";
import { type Command, Option } from "@commander-js/extra-typings";
import { readAuthorities } from "../../config/authorities.ts";
import { isLoopbackHost } from "../../config/relay-url.ts";
import { parseListenAddress } from "../../config/values.ts";
import { parseCredentials } from "../../proxy/credentials.ts";
import type { ProxyExchange } from "../../proxy/exchange-log.ts";
import { listenProxy, type ProxyListener } from "../../proxy/listen.ts";
import { createProxy, type ForwardProxy, type ProxyOptions } from "../../proxy/proxy.ts";
import { parseSecretProxy } from "../../proxy/proxy-url.ts";
import { parseUpstreamRule } from "../../proxy/rules.ts";
import { CLIENT_VERSION } from "../../version.ts";
import { loadContext } from "../context.ts";
import { escapeForTerminal, stringifyForTerminal } from "../escape.ts";
import { ExitCode, parseFlag, UsageError } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { LOG_FORMATS, LOG_LEVELS, type Log } from "../log.ts";
import { type LogFlags, openLog } from "../open-log.ts";

/** Where a proxy listens that was told nothing: the port that proxies have had since Squid. */
const DEFAULT_LISTEN = "127.0.0.1:3128";
/** What people wait for after Ctrl+C. */
const STOP_GRACE_MS = 10_000;

/** What `ggrok proxy` takes. */
interface ProxyFlags extends LogFlags {
  readonly listen?: string;
  readonly upstream?: string;
  readonly upstreamRule: readonly string[];
  readonly basicAuth: readonly string[];
  readonly allowPrivate?: boolean;
  readonly ca?: string;
  readonly json?: boolean;
  readonly config?: string;
}

/** Adds `ggrok proxy` to the command line. */
export function addProxy(program: Command, io: Io, setCode: (code: number) => void): void {
  program
    .command("proxy")
    .summary("serve a forward proxy: HTTP, CONNECT and SOCKS5 on one port")
    .description(
      "serve a forward proxy: HTTP, CONNECT and SOCKS5 on one port\n\nBeyond this machine it needs --basic-auth, and refuses private and local destinations.",
    )
    .option("--listen <address>", `where to listen (default: "${DEFAULT_LISTEN}")`)
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
    .option("--ca <file>", "further certificate authorities for https:// proxies, PEM")
    .option("--json", "print events as JSON, one a line")
    .option("--log <place>", "stdout, stderr, a file, or false")
    .addOption(new Option("--log-format <format>", "format of the log").choices(LOG_FORMATS))
    .addOption(new Option("--log-level <level>", "how much to log").choices(LOG_LEVELS))
    .option("--config <file>", "read this configuration file only (environment: GGROK_CONFIG)")
    .action(async (flags) => setCode(await runProxy(flags, io)));
}

/** `ggrok proxy`: serves until a signal comes. Returns the exit code. */
async function runProxy(flags: ProxyFlags, io: Io): Promise<number> {
  const listen = parseFlag("--listen", () => parseListenAddress(flags.listen ?? DEFAULT_LISTEN));
  const isExposed = !isLoopbackHost(listen.host);
  const context = loadContext(flags, io);
  const options = readOptions(flags, { isExposed, io });
  const log = openLog({ flags, layers: context.layers, io, isQuietByDefault: flags.json === true });
  const proxy = createProxy({ ...options, onExchange: (exchange) => report(exchange, { flags, io, log: log.log }) });
  let listener: ProxyListener | undefined;
  try {
    listener = await listenProxy(listen, proxy);
    announce(listener, { flags, io, log: log.log });
    await stopped(io.stop);
    await shutDown(proxy, listener);
    return ExitCode.Ok;
  } finally {
    listener?.close();
    log.close();
  }
}

function readOptions(flags: ProxyFlags, o: { isExposed: boolean; io: Io }): ProxyOptions {
  const { env, cwd } = o.io;
  const credentials = flags.basicAuth.map((text) => parseFlag("--basic-auth", () => parseCredentials(text, env)));
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

async function shutDown(proxy: ForwardProxy, listener: ProxyListener): Promise<void> {
  listener.close();
  await proxy.close(STOP_GRACE_MS);
}

function stopped(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function append(value: string, previous: readonly string[]): string[] {
  return [...previous, value];
}
