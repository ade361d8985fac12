import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, existsSync, readFileSync, realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { delimiter, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { GgrokError } from "@ggrok/protocol";
import { z } from "zod";
import { configError } from "../config/values.ts";

const FIRST_PORT = 8080;
const PORT_TRIES = 100;
/** From spawn to `relay.listening`, milliseconds. */
const START_TIMEOUT_MS = 15_000;
const STOP_TIMEOUT_MS = 5_000;

const listeningSchema = z.object({ event: z.literal("relay.listening"), port: z.int() });

/** A relay that this process started and will stop. */
export interface LocalRelay {
  /** `http://localhost:PORT`. */
  readonly origin: string;
  /** Settles with a reason when the relay ends by itself. */
  readonly ended: Promise<string>;
  stop(): Promise<void>;
}

/** Starts `ggrok-relay` on loopback with tunnels at `NAME.localhost`, when it is found on this machine. */
export async function startLocalRelay(o: { cwd: string; env: NodeJS.ProcessEnv }): Promise<LocalRelay> {
  const program = findRelay(o.cwd, o.env);
  if (program === undefined) {
    throw configError(
      "--local needs the relay on this machine, and it was not found. Start one in another terminal with\n\n  npx @ggrok/server\n\nand give --relay http://localhost:8080 instead.",
    );
  }
  for (let first = FIRST_PORT; ; ) {
    const port = await findFreePort(first);
    try {
      return await startOn(port, program, o.env);
    } catch (error) {
      // Somebody was faster with this one.
      if (!(error instanceof GgrokError && error.message.includes("EADDRINUSE"))) throw error;
      first = port + 1;
    }
  }
}

async function startOn(
  port: number,
  program: { command: string; args: string[] },
  env: NodeJS.ProcessEnv,
): Promise<LocalRelay> {
  const flags = [
    "--port",
    String(port),
    "--bind",
    "127.0.0.1",
    "--domain",
    "localhost",
    "--log-format",
    "json",
    "--log-level",
    "info",
  ];
  const child = spawn(program.command, [...program.args, ...flags], {
    stdio: ["ignore", "pipe", "pipe"],
    env: withoutRelaySettings(env),
    // Ctrl+C goes to the whole group of the terminal; the relay stays until the agent has finished with it.
    detached: process.platform !== "win32",
  });
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    // Not "exit": its last words are to be read first.
    child.once("close", (code, signal) => resolve(`the local relay ended (${signal ?? `exit code ${String(code)}`})`));
  });
  const kill = (): void => {
    child.kill("SIGKILL");
  };
  process.once("exit", kill);
  const errors = collectErrors(child);
  try {
    const actual = await waitUntilUp(child);
    if (actual === undefined) throw configError(`${await ended}\n${errors()}`.trim());
    return {
      origin: `http://localhost:${actual}`,
      ended,
      stop: async () => {
        process.off("exit", kill);
        await stopChild(child, ended);
      },
    };
  } catch (error) {
    process.off("exit", kill);
    child.kill("SIGKILL");
    throw error;
  }
}

/** Settings of this machine's own relay deployments are not meant for this one. */
function withoutRelaySettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => name !== "PORT" && !name.startsWith("GGROK_")));
}

/** The port it listens on; undefined when it ends without a word of it. */
async function waitUntilUp(child: ChildProcess): Promise<number | undefined> {
  if (child.stdout === null) throw configError("the local relay has no output");
  const deadline = AbortSignal.timeout(START_TIMEOUT_MS);
  const lines = createInterface({ input: child.stdout, signal: deadline });
  for await (const line of lines) {
    const parsed = listeningSchema.safeParse(parseJson(line));
    if (!parsed.success) continue;
    // From here on nobody reads its log; it must not fill the pipe and stop.
    child.stdout.resume();
    return parsed.data.port;
  }
  if (!deadline.aborted) return undefined;
  throw configError(`the local relay did not start within ${START_TIMEOUT_MS / 1_000} s`);
}

function collectErrors(child: ChildProcess): () => string {
  let text = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    text = (text + chunk.toString("utf8")).slice(-4_096);
  });
  return () => text.trim();
}

async function stopChild(child: ChildProcess, ended: Promise<string>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
  await ended;
  clearTimeout(timer);
}

/** Looks where npm puts programs, from here upwards, then on PATH, then beside this program. */
function findRelay(cwd: string, env: NodeJS.ProcessEnv): { command: string; args: string[] } | undefined {
  const folders: string[] = [];
  for (let folder = cwd; ; folder = dirname(folder)) {
    folders.push(join(folder, "node_modules", ".bin"));
    if (folder === dirname(folder)) break;
  }
  folders.push(...(env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== ""));
  const name = process.platform === "win32" ? "ggrok-relay.cmd" : "ggrok-relay";
  for (const folder of folders) {
    const path = join(folder, name);
    if (isExecutable(path)) return asCommand(path);
  }
  for (const base of [join(cwd, "package.json"), import.meta.url]) {
    try {
      const manifest = createRequire(base).resolve("@ggrok/server/package.json");
      const bin = join(dirname(manifest), "bin", "ggrok-relay.js");
      if (existsSync(bin)) return { command: process.execPath, args: [bin] };
    } catch {
      // Not installed there.
    }
  }
  return undefined;
}

/** A script of ours runs on this very Node: the one on PATH may be too old. */
function asCommand(path: string): { command: string; args: string[] } {
  const real = realpathSync(path);
  if (real.endsWith(".js")) return { command: process.execPath, args: [real] };
  // pnpm's shim is a shell script that names the file it starts.
  const target = /"\$basedir\/([^"]+\.js)"/.exec(readHead(real))?.[1];
  const script = target === undefined ? undefined : join(dirname(real), target);
  return script !== undefined && existsSync(script)
    ? { command: process.execPath, args: [script] }
    : { command: path, args: [] };
}

function readHead(path: string): string {
  return readFileSync(path).subarray(0, 4_096).toString("latin1");
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function findFreePort(first: number): Promise<number> {
  for (let port = first; port < FIRST_PORT + PORT_TRIES; port += 1) {
    const probe = createServer();
    try {
      probe.listen({ host: "127.0.0.1", port, exclusive: true });
      await once(probe, "listening");
      return port;
    } catch {
      // Taken; the next one.
    } finally {
      probe.close();
    }
  }
  return 0;
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
