import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { constants } from "node:os";
import type { Readable, Writable } from "node:stream";
import { findPort } from "./find-port.ts";
import type { Io } from "./io.ts";

/** What a shell says when there is no such command. */
const NOT_FOUND = 127;
/** What a shell says when the command cannot be run. */
const NOT_EXECUTABLE = 126;

/** How long the last of its output may take after its end, milliseconds. */
const LAST_OUTPUT_MS = 1_000;

/** The command after `--`, at work. */
export interface Child {
  /** Resolves with its exit code, as a shell would have it: 128 + n after signal n. */
  readonly exited: Promise<number>;
  /** Resolves with the port its output names; never when it was not asked to look. */
  readonly port: Promise<number>;
  /** Asks it to end; nothing happens when it has. */
  kill(signal: NodeJS.Signals): void;
}

/** Starts the command of a command line beside the tunnel. Its output passes as it is. */
export function startChild(
  command: readonly string[],
  o: { io: Io; env: NodeJS.ProcessEnv; findsPort: boolean; isOutputOurs: boolean },
): Child {
  const { io } = o;
  const [file = "", ...args] = command;
  // With --json standard output is ours alone.
  const out = o.isOutputOurs ? io.stderr : io.stdout;
  const port = Promise.withResolvers<number>();
  const group = groupOf(io);
  const child = spawn(file, args, {
    cwd: io.cwd,
    env: { ...o.env, ...(o.findsPort && keepColour(o.env, io)) },
    stdio: [io.stdin, o.findsPort ? "pipe" : out, o.findsPort ? "pipe" : io.stderr],
    shell: process.platform === "win32",
    detached: group === "own",
  });
  if (o.findsPort) {
    listen(child.stdout, out, port.resolve);
    listen(child.stderr, io.stderr, port.resolve);
  }
  const last = (): void => signalAll(child, "SIGKILL", group);
  process.once("exit", last);
  const exited = new Promise<number>((resolve) => {
    child.once("error", (error) => {
      const isMissing = "code" in error && error.code === "ENOENT";
      io.stderr.write(`ggrok: ${file}: ${isMissing ? "command not found" : error.message}\n`);
      resolve(isMissing ? NOT_FOUND : NOT_EXECUTABLE);
    });
    child.once("exit", (code, signal) => {
      const status = code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
      child.once("close", () => resolve(status));
      // What it left running may hold its output open; that is no reason to stay.
      setTimeout(() => resolve(status), LAST_OUTPUT_MS).unref();
    });
  });
  void exited.then(() => process.off("exit", last));
  return { exited, port: port.promise, kill: (signal) => signalAll(child, signal, group) };
}

/**
 * What the command finds in its environment: where to listen, under which address it is reached, and the development
 * servers' own variables for the hosts they answer to.
 */
export function childEnvironment(
  env: NodeJS.ProcessEnv,
  o: { url: string; port: number | undefined },
): NodeJS.ProcessEnv {
  const { hostname } = new URL(o.url);
  return {
    ...env,
    GGROK_URL: o.url,
    __VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS: hostname,
    RAILS_DEVELOPMENT_HOSTS: [env["RAILS_DEVELOPMENT_HOSTS"], hostname].filter(Boolean).join(","),
    ...(o.port !== undefined && { PORT: String(o.port) }),
  };
}

/**
 * Whether the command is a process group of its own, so that a signal reaches what it has started too: `npm run` leaves its
 * script behind. On a terminal it must stay in ours, or it could not read from there.
 */
function groupOf(io: Io): "own" | "ours" {
  return process.platform === "win32" || io.stdin.isTTY ? "ours" : "own";
}

/** Signals the command and all below it; nothing happens when it has ended. */
function signalAll(child: ChildProcess, signal: NodeJS.Signals, group: "own" | "ours"): void {
  const { pid } = child;
  if (pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const targets = group === "own" ? [-pid] : [...descendantsOf(pid), pid];
  for (const target of targets) {
    try {
      process.kill(target, signal);
    } catch {
      // It ended in this moment.
    }
  }
}

/** What a process has started, and what that has; nothing where no `ps` says so. */
function descendantsOf(pid: number): number[] {
  if (process.platform === "win32") return [];
  const { stdout } = spawnSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" });
  const rows = (stdout ?? "").split("\n").map((row) => row.trim().split(/\s+/).map(Number));
  const found = [pid];
  // A process that was found last is looked through last.
  for (const parent of found) for (const [own = 0, above] of rows) if (above === parent) found.push(own);
  return found.slice(1);
}

/** A pipe looks like no terminal, so the colours a terminal would have had are asked for. */
function keepColour(env: NodeJS.ProcessEnv, io: Io): NodeJS.ProcessEnv {
  const isWanted = io.stdout.isTTY && env["NO_COLOR"] === undefined && env["FORCE_COLOR"] === undefined;
  return isWanted ? { FORCE_COLOR: "1" } : {};
}

function listen(from: Readable | null, to: Writable, found: (port: number) => void): void {
  let line = "";
  from?.on("data", (chunk: Buffer) => {
    if (!to.write(chunk)) {
      from.pause();
      to.once("drain", () => from.resume());
    }
    line += chunk.toString("utf8");
    const lines = line.split("\n");
    line = (lines.pop() ?? "").slice(-4_096);
    for (const whole of lines) {
      const port = findPort(whole);
      if (port !== undefined) found(port);
    }
  });
}
