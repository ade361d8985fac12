import { resolve } from "node:path";
import { GgrokError } from "@ggrok/protocol";
import { STOP_GRACE_MS } from "../../agent/agent.ts";
import { waitUntilListening } from "../../agent/app-watch.ts";
import { canonicalFolder } from "../../agent/identity.ts";
import { composeTunnel, type RunningTunnel, type TcpPlan } from "../../compose.ts";
import { parseRelayUrl, type RelayAddress } from "../../config/relay-url.ts";
import { choose } from "../../config/settings.ts";
import { type ListenAddress, parseDuration, parseListenAddress } from "../../config/values.ts";
import type { VisitorPlan } from "../../config/visitor-plan.ts";
import { parseTarget, type Target } from "../../forward/target.ts";
import { Inspection } from "../../inspector/inspection.ts";
import type { Inspector } from "../../inspector/server.ts";
import { CLIENT_VERSION } from "../../version.ts";
import { type Context, loadContext, pickToken, type RelayFlags, requireRelay } from "../context.ts";
import { ExitCode, parseFlag, UsageError } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { type LocalRelay, startLocalRelay } from "../local-relay.ts";
import { type OpenLog, openLog } from "../open-log.ts";
import { createJsonRenderer, createPlainRenderer, createScreenRenderer, type Renderer } from "../render.ts";
import { readVisitorFlags, type VisitorFlags } from "../visitor-flags.ts";

/** Name of the one tunnel of a command line, as ngrok's agent calls it. */
const TUNNEL_NAME = "command_line";
const DEFAULT_WEB_ADDRESS = "127.0.0.1:4040";

/** What `ggrok http` takes. */
export interface HttpFlags extends RelayFlags, VisitorFlags {
  readonly url?: string;
  readonly domain?: string;
  readonly subdomain?: string;
  readonly hostname?: string;
  readonly poolingEnabled?: boolean;
  readonly takeover?: boolean;
  readonly stripPrefix?: boolean;
  readonly timeout?: string;
  readonly webAddr?: string;
  readonly inspect?: boolean;
  readonly redact?: readonly string[];
  readonly log?: string;
  readonly logFormat?: "json" | "logfmt" | "term";
  readonly logLevel?: "debug" | "info" | "warn" | "error";
  readonly json?: boolean;
  /** False with `--no-retry`. */
  readonly retry: boolean;
  readonly wait?: string;
  readonly local?: boolean;
  readonly proxy?: string;
  readonly ca?: string;
}

/** A command line with one tunnel, checked as far as it can be without reading anything. */
export interface TunnelRequest {
  readonly target: Target;
  readonly label: string;
  readonly url: string | undefined;
  readonly timeoutMs: number | undefined;
  readonly waitMs: number | undefined;
  readonly webAddress: ListenAddress | false | undefined;
  readonly tcp?: TcpPlan;
  readonly visitors?: VisitorPlan;
  readonly flags: HttpFlags;
}

/** `ggrok http <target>`: a tunnel that stays until a signal or an error that retrying cannot cure. Returns the exit code. */
export async function runHttp(targetText: string, flags: HttpFlags, io: Io): Promise<number> {
  const visitors = readVisitorFlags(flags, io.env);
  return await runTunnel({ ...readCommandLine(targetText, flags), visitors }, io);
}

/** Runs one tunnel of a command line to its end. Returns the exit code. */
export async function runTunnel(request: TunnelRequest, io: Io): Promise<number> {
  const { flags } = request;
  const context = loadContext(flags, io);
  const log = openLog({
    flags,
    layers: context.layers,
    io,
    isQuietByDefault: flags.json === true || isScreen(flags, io),
  });
  let local: LocalRelay | undefined;
  try {
    local = flags.local === true ? await startLocalRelay({ cwd: io.cwd, env: io.env }) : undefined;
    const relay =
      local === undefined
        ? await requireRelay(context, flags, io)
        : { value: parseRelayUrl(local.origin), source: "flag" as const };
    const token = local === undefined ? pickToken(context, relay, flags, io) : undefined;
    return await serveTunnel({ request, context, relay: relay.value, token, log, io, local });
  } finally {
    await local?.stop();
    log.close();
  }
}

function readCommandLine(targetText: string, flags: HttpFlags): TunnelRequest {
  return readTunnelFlags(
    parseFlag("target", () => parseTarget(targetText)),
    flags,
  );
}

/** Reads the flags that every kind of tunnel has. */
export function readTunnelFlags(target: Target, flags: HttpFlags): TunnelRequest {
  const names = [flags.url, flags.domain, flags.subdomain, flags.hostname].filter((name) => name !== undefined);
  if (names.length > 1) throw new UsageError("--url, --domain, --subdomain and --hostname mean the same: give one");
  const { timeout, wait, webAddr } = flags;
  if (flags.local === true && flags.relay !== undefined)
    throw new UsageError("--local brings its own relay: --relay has no place beside it");
  return {
    target,
    label: target.label,
    url: names[0],
    timeoutMs: timeout === undefined ? undefined : parseFlag("--timeout", () => parseDuration(timeout)),
    waitMs: wait === undefined ? undefined : parseFlag("--wait", () => parseDuration(wait)),
    webAddress: webAddr === undefined ? undefined : parseFlag("--web-addr", () => parseWebAddress(webAddr)),
    flags,
  };
}

function parseWebAddress(text: string): ListenAddress | false {
  return text === "false" ? false : parseListenAddress(text);
}

function isScreen(flags: HttpFlags, io: Io): boolean {
  return (
    flags.json !== true &&
    io.stdout.isTTY &&
    io.env["TERM"] !== "dumb" &&
    !isTruthy(io.env["CI"]) &&
    flags.log !== "stdout"
  );
}

function isTruthy(value: string | undefined): boolean {
  return value !== undefined && value !== "" && value !== "0" && value !== "false";
}

interface Serving {
  readonly request: TunnelRequest;
  readonly context: Context;
  readonly relay: RelayAddress;
  readonly token: string | undefined;
  readonly log: OpenLog;
  readonly io: Io;
  readonly local: LocalRelay | undefined;
}

async function serveTunnel(o: Serving): Promise<number> {
  const { request, io } = o;
  const isReady = await waitForApp(request, io);
  if (isReady === "stopped") return ExitCode.Ok;
  const view: { tunnel?: RunningTunnel; webUrl?: string } = {};
  const renderer = createRenderer(o, view);
  const inspection = await openInspection(o, view, renderer);
  const openTap = inspection.openTap(TUNNEL_NAME);
  const tunnel = composeTunnel({
    ...planOf(o),
    ...(openTap !== undefined && { openTap }),
    onNotice: (text) => renderer.notice(text),
    onExchange: (e) => e.phase === "start" && renderer.exchangeStarted(e),
    onAppChange: (isListening) => reportApp(isListening, request, renderer),
  });
  view.tunnel = tunnel;
  tunnel.events.tap((event) => renderer.event(event), { requests: renderer.showsRequests });
  try {
    const inspector = await openInspector(o, tunnel, inspection);
    if (inspector !== undefined) {
      view.webUrl = inspector.url;
      tunnel.events.emit("inspector.online", { url: inspector.url });
    }
    tunnel.app.check();
    tunnel.agent.start();
    void o.local?.ended.then((reason) => renderer.notice(reason));
    return await untilOver(tunnel, o);
  } finally {
    await tunnel.close();
    await inspection.close();
    renderer.stop();
  }
}

/** Waits for a signal, the end of the agent, or the end of the local relay. */
async function untilOver(tunnel: RunningTunnel, o: Serving): Promise<number> {
  const { stop } = o.io;
  const stopped = new Promise<"stopped">((resolve) => {
    if (stop.aborted) resolve("stopped");
    stop.addEventListener("abort", () => resolve("stopped"), { once: true });
  });
  const localEnded = o.local?.ended.then((reason) => new Error(reason));
  const outcome = await Promise.race([stopped, tunnel.agent.ended, ...(localEnded === undefined ? [] : [localEnded])]);
  if (outcome === "stopped" || outcome === undefined) {
    await tunnel.close(STOP_GRACE_MS);
    return ExitCode.Ok;
  }
  throw outcome;
}

async function waitForApp(request: TunnelRequest, io: Io): Promise<"ready" | "stopped"> {
  if (request.waitMs === undefined) return "ready";
  const deadline = AbortSignal.timeout(request.waitMs);
  try {
    await waitUntilListening(request.target, AbortSignal.any([deadline, io.stop]));
    return "ready";
  } catch (cause) {
    if (io.stop.aborted) return "stopped";
    throw new GgrokError("ERR_GGROK_APP_NOT_READY", {
      message: `nothing listened on ${request.target.authority} within ${request.waitMs / 1_000} s`,
      cause,
    });
  }
}

function planOf(o: Serving): Omit<Parameters<typeof composeTunnel>[0], "onNotice"> {
  const { request, context, io } = o;
  const { flags } = request;
  const fromFile = (pick: "proxy" | "ca"): string | undefined =>
    choose(flags[pick], undefined, context.layers, (config) => config[pick])?.value;
  const ca = fromFile("ca");
  const proxy = fromFile("proxy");
  return {
    relay: o.relay,
    ...(o.token !== undefined && { token: o.token }),
    ...(proxy !== undefined && { proxy }),
    ...(ca !== undefined && { ca: resolve(io.cwd, ca) }),
    target: request.target,
    targetLabel: request.label,
    name: TUNNEL_NAME,
    ...(request.url !== undefined && { url: request.url }),
    isPooling: flags.poolingEnabled === true,
    isTakeover: flags.takeover === true,
    isPrefixStripped: flags.stripPrefix === true,
    ...(request.timeoutMs !== undefined && { timeoutMs: request.timeoutMs }),
    ...(request.tcp !== undefined && { tcp: request.tcp }),
    ...(request.visitors !== undefined && { visitors: request.visitors }),
    retry: flags.retry,
    folder: io.cwd,
    stateDir: context.paths.stateDir,
  };
}

function reportApp(isListening: boolean, request: TunnelRequest, renderer: Renderer): void {
  if (isListening) renderer.appListens(`${request.target.authority} accepts connections now`);
  else renderer.appListens(`nothing listens on ${request.target.authority} yet`);
}

function createRenderer(o: Serving, view: { tunnel?: RunningTunnel; webUrl?: string }): Renderer {
  const { request, io, log } = o;
  if (request.flags.json === true) return createJsonRenderer(io, log.log);
  if (!isScreen(request.flags, io)) return createPlainRenderer(io, log.log, [TUNNEL_NAME]);
  return createScreenRenderer({
    output: io,
    log: log.log,
    relay: o.relay.origin,
    version: CLIENT_VERSION,
    live: () => {
      const { tunnel } = view;
      const latencyMs = tunnel?.agent.latencyMs;
      const isAppThere = tunnel?.app.isListening !== false;
      return {
        ...(latencyMs !== undefined && { latencyMs }),
        ...(view.webUrl !== undefined && { webUrl: view.webUrl }),
        tunnels: (tunnel?.agent.tunnels ?? []).map((t) => ({
          target: t.spec.target,
          ...(t.url !== undefined && { url: t.url }),
          ...(!isAppThere && { note: `nothing listens on ${request.target.authority} yet` }),
        })),
        ...(tunnel !== undefined && { figures: tunnel.stats.read() }),
      };
    },
  });
}

function openInspection(o: Serving, view: { tunnel?: RunningTunnel }, renderer: Renderer): Promise<Inspection> {
  const { flags } = o.request;
  return Inspection.open({
    stateDir: o.context.paths.stateDir,
    folder: canonicalFolder(o.io.cwd),
    isRecording: flags.inspect !== false,
    ...(flags.redact !== undefined && { redact: flags.redact }),
    urlOf: (name) => view.tunnel?.agent.tunnels.find((t) => t.spec.name === name)?.url,
    onNotice: (text) => renderer.notice(text),
  });
}

async function openInspector(
  o: Serving,
  tunnel: RunningTunnel,
  inspection: Inspection,
): Promise<Inspector | undefined> {
  const { request, context } = o;
  const address = request.webAddress ?? webAddressOfFile(context) ?? parseListenAddress(DEFAULT_WEB_ADDRESS);
  if (address === false) return undefined;
  return await inspection.listen(address, {
    version: CLIENT_VERSION,
    relay: o.relay.origin,
    isOnline: () => tunnel.agent.isOnline,
    phase: () => tunnel.agent.phase,
    latencyMs: () => tunnel.agent.latencyMs,
    tunnels: () =>
      tunnel.agent.tunnels.map((t) => ({
        name: t.spec.name,
        url: t.url,
        target: t.spec.target,
        isInspected: request.flags.inspect !== false,
        figures: tunnel.stats.read(),
      })),
  });
}

function webAddressOfFile(context: Context): ListenAddress | false | undefined {
  const value = choose(undefined, undefined, context.layers, (config) => config.agent?.web_addr)?.value;
  return value === undefined || value === false ? value : parseListenAddress(String(value));
}
