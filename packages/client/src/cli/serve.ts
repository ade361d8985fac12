import { GgrokError } from "@ggrok/protocol";
import { STOP_GRACE_MS } from "../agent/agent.ts";
import { waitUntilListening } from "../agent/app-watch.ts";
import type { RunningAgent } from "../compose.ts";
import { chooseHistoryQuota, chooseWebAddress } from "../config/inspector-settings.ts";
import { parseRelayUrl, type RelayAddress } from "../config/relay-url.ts";
import type { ListenAddress } from "../config/values.ts";
import { InspectedAgent, type RecordingPlan } from "../inspected-agent.ts";
import type { AgentPlan, TunnelPlan } from "../running-tunnel.ts";
import { CLIENT_VERSION } from "../version.ts";
import { type Context, pickToken, pickWay, requireRelay } from "./context.ts";
import { ExitCode, endOf } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { type LocalRelay, startLocalRelay } from "./local-relay.ts";
import { type OpenLog, openLog } from "./open-log.ts";
import { createJsonRenderer, createPlainRenderer, createScreenRenderer, type Renderer } from "./render.ts";
import { hideSecrets, withoutSecrets } from "./secret-query.ts";
import type { ServeFlags } from "./serve-flags.ts";
import { holdUrls, type Wrapped, wrapCommand } from "./wrap.ts";

/** Tunnels that are to run, and how. */
export interface ServeRequest {
  readonly tunnels: readonly TunnelPlan[];
  readonly waitMs?: number | undefined;
  readonly webAddress?: ListenAddress | false | undefined;
  readonly flags: ServeFlags;
  /** A command that runs beside the one tunnel and ends it. */
  readonly command?: readonly string[] | undefined;
  /** Looks after the tunnels while they run; returns what stops it. */
  readonly follow?: (running: RunningAgent, onNotice: (text: string) => void) => () => void;
}

/** Runs tunnels to their end. Returns the exit code. */
export async function serveTunnels(request: ServeRequest, context: Context, io: Io): Promise<number> {
  const { flags } = request;
  const isQuietByDefault = flags.json === true || request.command !== undefined || isScreen(request, io);
  const log = openLog({ flags, layers: context.layers, io, isQuietByDefault });
  let local: LocalRelay | undefined;
  try {
    local = flags.local === true ? await startLocalRelay({ cwd: io.cwd, env: io.env }) : undefined;
    const relay =
      local === undefined
        ? await requireRelay(context, flags, io)
        : { value: parseRelayUrl(local.origin), source: "flag" as const };
    const token = local === undefined ? pickToken(context, relay, flags, io) : undefined;
    return await new Serving({ request, context, relay: relay.value, token, log, io, local }).run();
  } finally {
    await local?.stop();
    log.close();
  }
}

interface ServingOptions {
  readonly request: ServeRequest;
  readonly context: Context;
  readonly relay: RelayAddress;
  readonly token: string | undefined;
  readonly log: OpenLog;
  readonly io: Io;
  readonly local: LocalRelay | undefined;
}

/** One run, from the first look at the app to the last word. */
class Serving {
  readonly #o: ServingOptions;
  #running: RunningAgent | undefined;
  #webUrl: string | undefined;

  constructor(options: ServingOptions) {
    this.#o = options;
  }

  async run(): Promise<number> {
    const { request, context, io, local } = this.#o;
    const plan = await this.#planAgent();
    // A command is started by us: there is nothing to wait for before.
    if (request.command === undefined && (await this.#waitForApps()) === "stopped") return ExitCode.Ok;
    const shown = this.#createRenderer();
    const held = request.command === undefined ? undefined : holdUrls(shown);
    const renderer = held?.renderer ?? shown;
    const onNotice = (text: string): void => renderer.notice(text);
    const inspected = await InspectedAgent.open(
      {
        ...plan,
        onNotice,
        ...(renderer.exchangeStarted !== undefined && {
          onExchange: ({ phase, id, method, path }) => {
            if (phase === "start") renderer.exchangeStarted?.({ id, method, path: hideSecrets(path) });
          },
        }),
        onAppChange: (isListening, { authority, label, socketPath }) =>
          reportApp(isListening, socketPath === undefined ? authority : label, renderer),
      },
      request.tunnels,
      this.#planRecording(onNotice),
    );
    const { running } = inspected;
    this.#running = running;
    running.events.tap((event) => renderer.event(withoutSecrets(event)), { requests: renderer.showsRequests });
    let stopFollowing: (() => void) | undefined;
    try {
      const address = request.webAddress ?? chooseWebAddress(context.layers);
      if (address !== false) this.#webUrl = await inspected.openApi(address);
      if (request.command === undefined) for (const tunnel of running.tunnels) tunnel.app.check();
      running.agent.start();
      void local?.ended.then((reason) => renderer.notice(reason));
      stopFollowing = request.follow?.(running, onNotice);
      const wrapped =
        request.command === undefined
          ? undefined
          : wrapCommand({ command: request.command, running, io, isOutputOurs: request.flags.json === true });
      void wrapped?.listening.then(() => held?.release());
      return await this.#untilOver(running, wrapped);
    } finally {
      stopFollowing?.();
      await inspected.close();
      renderer.stop();
    }
  }

  /** Waits for a signal, the end of the agent, of the command, or of the local relay. */
  async #untilOver(running: RunningAgent, wrapped: Wrapped | undefined): Promise<number> {
    const { io, local } = this.#o;
    const { stop } = io;
    const stopped = new Promise<"stopped">((settle) => {
      if (stop.aborted) settle("stopped");
      stop.addEventListener("abort", () => settle("stopped"), { once: true });
    });
    const localEnded = local?.ended.then((reason) => new Error(reason));
    const outcome = await Promise.race([
      stopped,
      endOf(running.agent),
      ...(localEnded === undefined ? [] : [localEnded]),
      ...(wrapped === undefined ? [] : [wrapped.exited, this.#lateness(wrapped)]),
    ]);
    if (outcome === "stopped" || outcome === undefined) {
      const [code] = await Promise.all([wrapped?.stop(stop.reason), running.close(STOP_GRACE_MS)]);
      return code ?? ExitCode.Ok;
    }
    if (typeof outcome === "number") {
      await running.close(STOP_GRACE_MS);
      return outcome;
    }
    await wrapped?.end();
    throw outcome;
  }

  /** Resolves when a command does not listen within `--wait`; never when it does. */
  #lateness(wrapped: Wrapped): Promise<Error> {
    const { waitMs } = this.#o.request;
    return new Promise((resolve) => {
      if (waitMs === undefined) return;
      const message = `the command accepted no connection within ${waitMs / 1_000} s`;
      const timer = setTimeout(() => resolve(new GgrokError("ERR_GGROK_APP_NOT_READY", { message })), waitMs);
      timer.unref();
      void wrapped.listening.then(() => clearTimeout(timer));
    });
  }

  async #waitForApps(): Promise<"ready" | "stopped"> {
    const { request, io } = this.#o;
    if (request.waitMs === undefined) return "ready";
    const signal = AbortSignal.any([AbortSignal.timeout(request.waitMs), io.stop]);
    for (const { target } of request.tunnels) {
      try {
        await waitUntilListening(target, signal);
      } catch (cause) {
        if (io.stop.aborted) return "stopped";
        throw new GgrokError("ERR_GGROK_APP_NOT_READY", {
          message: `nothing listened on ${target.socketPath === undefined ? target.authority : target.label} within ${request.waitMs / 1_000} s`,
          cause,
        });
      }
    }
    return "ready";
  }

  async #planAgent(): Promise<AgentPlan> {
    const { request, context, io, token, relay, local } = this.#o;
    const { flags } = request;
    // A proxy that the files name is one on the way out: it could not find a relay on this machine.
    const way = local === undefined ? await pickWay(context, flags, io) : { proxy: flags.proxy ?? "" };
    return {
      relay,
      ...(token !== undefined && { token }),
      ...way,
      retry: flags.retry,
      folder: io.cwd,
      stateDir: context.paths.stateDir,
    };
  }

  #planRecording(onNotice: (text: string) => void): RecordingPlan {
    const { request, context } = this.#o;
    const { redact, inspect } = request.flags;
    return {
      isRecording: inspect !== false,
      ...(redact !== undefined && { redact }),
      quota: chooseHistoryQuota(context.layers),
      onNotice,
    };
  }

  #createRenderer(): Renderer {
    const { request, io, log, relay } = this.#o;
    if (request.flags.json === true) return createJsonRenderer(io, log.log);
    if (!isScreen(request, io))
      return createPlainRenderer(
        io,
        log.log,
        request.tunnels.map(({ name }) => name),
      );
    return createScreenRenderer({
      output: io,
      log: log.log,
      relay: relay.origin,
      version: CLIENT_VERSION,
      live: () => {
        const latencyMs = this.#running?.agent.latencyMs;
        return {
          ...(latencyMs !== undefined && { latencyMs }),
          ...(this.#webUrl !== undefined && { webUrl: this.#webUrl }),
          tunnels: (this.#running?.tunnels ?? []).map((tunnel) => ({
            ...(tunnel.isOnline && tunnel.url !== undefined && { url: tunnel.url }),
            target: tunnel.plan.targetLabel,
            ...(!tunnel.app.isListening && { note: "nothing listens there yet" }),
          })),
          ...(this.#running !== undefined && { figures: this.#running.stats.read() }),
        };
      },
    });
  }
}

function isScreen({ flags, command }: ServeRequest, io: Io): boolean {
  return (
    command === undefined &&
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

function reportApp(isListening: boolean, place: string, renderer: Renderer): void {
  if (isListening) renderer.appListens(`${place} accepts connections now`);
  else renderer.appListens(`nothing listens on ${place} yet`);
}
