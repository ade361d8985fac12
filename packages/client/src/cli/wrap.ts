import { once } from "node:events";
import { waitUntilListening } from "../agent/app-watch.ts";
import type { AgentEvent } from "../agent/events.ts";
import type { RunningAgent } from "../compose.ts";
import { parseTarget, type Target } from "../forward/target.ts";
import type { RunningTunnel } from "../running-tunnel.ts";
import { type Child, childEnvironment, startChild } from "./child.ts";
import type { Io } from "./io.ts";
import type { Renderer } from "./render.ts";

/** How long the command may take to end when the tunnel is over for good, milliseconds. */
const END_GRACE_MS = 10_000;
/** The command listens somewhere; its output will say where. */
const UNKNOWN_PORT = 0;

/** The command after `--` beside its tunnel. */
export interface Wrapped {
  /** Resolves with the command's exit code; never when it was not started. */
  readonly exited: Promise<number>;
  /** Resolves when the command accepts connections; never when it does not. */
  readonly listening: Promise<void>;
  /** Hands a signal on and waits for the command. Resolves with its exit code; undefined when it had not been started. */
  stop(signal: unknown): Promise<number | undefined>;
  /** Ends the command: the tunnel is over. */
  end(): Promise<void>;
}

/** The target of a command whose port nobody has named: visitors get a 502 until its output names one. */
export function unknownTarget(): Target {
  return { ...parseTarget("80"), port: UNKNOWN_PORT, authority: "localhost", label: "the command's port" };
}

/** Starts the command as soon as the tunnel has its address, which the command gets to know. */
export function wrapCommand(o: {
  command: readonly string[];
  running: RunningAgent;
  io: Io;
  isOutputOurs: boolean;
}): Wrapped {
  const { command, running, io } = o;
  const over = new AbortController();
  const exited = Promise.withResolvers<number>();
  const listening = Promise.withResolvers<void>();
  let child: Child | undefined;
  const watch = async (tunnel: RunningTunnel): Promise<void> => {
    await waitUntilListening(tunnel.plan.target, AbortSignal.any([over.signal, io.stop]));
    listening.resolve();
  };
  const start = (): void => {
    const [tunnel] = running.tunnels;
    if (tunnel === undefined || io.stop.aborted || over.signal.aborted) return;
    const { target } = tunnel.plan;
    const findsPort = target.port === UNKNOWN_PORT;
    const isOurs = target.isLoopback && target.socketPath === undefined && target.folder === undefined && !findsPort;
    child = startChild(command, {
      io,
      env: childEnvironment(io.env, { url: tunnel.url ?? "", port: isOurs ? target.port : undefined }),
      findsPort,
      isOutputOurs: o.isOutputOurs,
    });
    void child.exited.then((code) => {
      over.abort();
      exited.resolve(code);
    });
    if (!findsPort) void watch(tunnel).catch(() => {});
    void child.port.then((port) => {
      const found = parseTarget(String(port));
      tunnel.redirect({ ...tunnel.plan, target: found, targetLabel: found.label });
      void watch(tunnel).catch(() => {});
    });
  };
  running.agent.ready.then(start, () => {});
  return {
    exited: exited.promise,
    listening: listening.promise,
    async stop(reason) {
      over.abort();
      if (child === undefined) return undefined;
      const signal = signalOf(reason);
      // Ctrl+C on a terminal reaches the command by itself: a second one would make many a server give up at once.
      if (signal !== "SIGINT" || !io.stdin.isTTY) child.kill(signal);
      return await child.exited;
    },
    async end() {
      over.abort();
      if (child === undefined) return;
      child.kill("SIGTERM");
      const patience = AbortSignal.timeout(END_GRACE_MS);
      await Promise.race([child.exited, once(patience, "abort")]);
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

/** Keeps the announcement of addresses back until the command accepts connections. */
export function holdUrls(renderer: Renderer): { renderer: Renderer; release(): void } {
  let held: AgentEvent[] | undefined = [];
  return {
    renderer: {
      ...renderer,
      event(event) {
        if (held !== undefined && event.event === "tunnel.online") held.push(event);
        else renderer.event(event);
      },
    },
    release() {
      const events = held ?? [];
      held = undefined;
      const last = new Map(events.map((event) => [JSON.stringify([event.event, "url" in event && event.url]), event]));
      for (const event of last.values()) renderer.event(event);
    },
  };
}

function signalOf(reason: unknown): NodeJS.Signals {
  const name = reason instanceof Error ? reason.message : "";
  return name === "SIGINT" || name === "SIGHUP" ? name : "SIGTERM";
}
