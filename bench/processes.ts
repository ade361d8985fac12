import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";

/** Time from SIGTERM to SIGKILL. */
const END_GRACE_MS = 3_000;
const START_TIMEOUT_MS = 15_000;
const POLL_MS = 50;

/** A program of the bench that keeps running. */
export type Running = { readonly pid: number; readonly child: ChildProcess };

/** How to start a program. */
export type StartOptions = {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** ssh ends its session at the end of standard input, so it gets one that stays open. */
  readonly stdin?: "pipe";
};

/** Everything the bench has started. Ends its own processes only, each by its pid. */
export class Processes {
  readonly #running = new Set<ChildProcess>();

  /** Start a program; its standard error is passed on, since a bench that fails silently measures nothing. */
  start(command: string, args: readonly string[], options: StartOptions = {}): Running {
    const child = spawn(command, args, {
      stdio: [options.stdin ?? "ignore", "pipe", "pipe"],
      env: { ...process.env, ...options.env },
      ...(options.cwd !== undefined && { cwd: options.cwd }),
    });
    child.stderr?.on("data", (text: Buffer) => {
      if (!isNoise(text.toString())) process.stderr.write(`[${command.split("/").at(-1)}] ${text.toString()}`);
    });
    child.on("error", () => {});
    if (child.pid === undefined) throw new Error(`cannot start ${command}`);
    this.#running.add(child);
    child.once("exit", () => this.#running.delete(child));
    return { pid: child.pid, child };
  }

  /** Start a program and wait for the line of its standard output that `pick` recognises. */
  async startUntil<T>(
    command: string,
    args: readonly string[],
    pick: (line: string) => T | undefined,
    options: StartOptions = {},
    timeoutMs: number = START_TIMEOUT_MS,
  ): Promise<Running & { found: T }> {
    const running = this.start(command, args, options);
    const { stdout } = running.child;
    if (stdout === null) throw new Error(`${command} has no standard output`);
    const name = [command, ...args].join(" ");
    const found = await new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`not ready after ${timeoutMs} ms: ${name}`)), timeoutMs);
      const seen: string[] = [];
      createInterface({ input: stdout }).on("line", (line) => {
        seen.push(line);
        const value = pick(line);
        if (value === undefined) return;
        clearTimeout(timer);
        resolve(value);
      });
      running.child.once("exit", (code) => {
        clearTimeout(timer);
        reject(new Error(`exit ${code}: ${name}\n${seen.join("\n")}`));
      });
    });
    return { ...running, found };
  }

  /** End one program: SIGTERM, then SIGKILL. */
  async end(running: Running): Promise<void> {
    await endChild(running.child);
  }

  /** End all that still run. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running].map(endChild));
  }

  /** The same without waiting, for a runner that is told to stop at once. */
  killAll(): void {
    for (const child of this.#running) child.kill("SIGKILL");
  }
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), END_GRACE_MS);
  await exited;
  clearTimeout(timer);
}

/** Lines ssh and sshd always write. */
function isNoise(text: string): boolean {
  return /^(Warning: Permanently added|Server listening on|Pseudo-terminal|Connection to \S+ closed|Terminated)/.test(
    text,
  );
}

/** Run a program to its end, at most `timeoutMs`. */
export async function runToEnd(
  command: string,
  args: readonly string[],
  timeoutMs: number,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], timeout: timeoutMs, killSignal: "SIGKILL" });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (text: Buffer) => (stdout += text.toString()));
  child.stderr.on("data", (text: Buffer) => (stderr += text.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}

/** A port of loopback nobody listens on. nginx and sshd cannot be told to choose one themselves. */
export async function pickFreePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** Wait until the port takes connections. */
export async function waitForPort(port: number): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (performance.now() < deadline) {
    const socket = connect(port, "127.0.0.1");
    try {
      await once(socket, "connect");
      return;
    } catch {
      await delay(POLL_MS);
    } finally {
      socket.destroy();
    }
  }
  throw new Error(`nothing listens on 127.0.0.1:${port}`);
}
