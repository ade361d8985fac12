import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = resolve(fileURLToPath(new URL("../..", import.meta.url)));
const DEADLINE_MS = 20_000;
/** The soak measures what users run: the built programs, with the flags of their first line (ADR 8). */
const BUILT = process.env["GGROK_TEST_PROGRAMS"] === "built";
const CLIENT_BIN = join(ROOT, BUILT ? "packages/client/bin/ggrok.js" : "packages/client/src/bin.ts");
const RELAY_BIN = join(ROOT, BUILT ? "packages/server/bin/ggrok-relay.js" : "packages/server/src/bin.ts");
const SOURCE_FLAGS = ["--conditions=ggrok-source", "--disable-warning=ExperimentalWarning"];

/** The flags of a program's first line; it is not run by that line, since a `node` on the path may be a script around Node. */
function flagsOf(bin: string): string[] {
  const [, flags = ""] = /^#!\/usr\/bin\/env -S node (.*)\n/.exec(readFileSync(bin, "utf8")) ?? [];
  return flags.split(" ");
}

/** A program of ours as a real process: run from its sources, or as it was built. */
export class Program implements AsyncDisposable {
  readonly child: ChildProcess;
  stdout = "";
  stderr = "";
  readonly exited: Promise<number | string>;
  readonly #waiters = new Set<() => void>();

  constructor(bin: string, args: readonly string[], o: { env: NodeJS.ProcessEnv; cwd: string; stdin?: string }) {
    this.child = spawn(process.execPath, [...(BUILT ? flagsOf(bin) : SOURCE_FLAGS), bin, ...args], {
      env: o.env,
      cwd: o.cwd,
      stdio: [o.stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    });
    this.child.stdin?.end(o.stdin);
    this.child.stdout?.on("data", (chunk: Buffer) => {
      this.stdout += chunk.toString("utf8");
      this.#wake();
    });
    this.child.stderr?.on("data", (chunk: Buffer) => {
      this.stderr += chunk.toString("utf8");
      this.#wake();
    });
    this.exited = once(this.child, "close").then(([code, signal]) => {
      this.#wake();
      return (code ?? signal) as number | string;
    });
  }

  /** Runs `ggrok-relay`, or one of its operator's commands. */
  static relay(args: readonly string[], env: NodeJS.ProcessEnv): Program {
    return new Program(RELAY_BIN, args, { env, cwd: tmpdir() });
  }

  get lines(): string[] {
    return this.stdout.split("\n").filter((line) => line !== "");
  }

  /** The JSON lines so far, of one event or of all. */
  events(name?: string): Record<string, unknown>[] {
    return this.lines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter((event) => name === undefined || event["event"] === name);
  }

  /** Waits until something is true of the output. */
  async until(what: string, isTrue: () => boolean): Promise<void> {
    const deadline = Date.now() + DEADLINE_MS;
    while (!isTrue()) {
      const left = deadline - Date.now();
      if (left <= 0 || this.child.exitCode !== null) {
        if (isTrue()) return;
        throw new Error(
          `${what} did not come\nexit: ${String(this.child.exitCode)}\nstdout: ${this.stdout}\nstderr: ${this.stderr}`,
        );
      }
      await new Promise<void>((wake) => {
        const timer = setTimeout(wake, Math.min(left, 1_000));
        this.#waiters.add(() => {
          clearTimeout(timer);
          wake();
        });
      });
    }
  }

  async line(index = 0): Promise<string> {
    await this.until(`line ${index}`, () => this.stdout.split("\n").length > index + 1);
    return this.lines[index] ?? "";
  }

  async event(name: string, count = 1): Promise<Record<string, unknown>> {
    await this.until(`${count} x ${name}`, () => this.stdout.endsWith("\n") && this.events(name).length >= count);
    return this.events(name)[count - 1] ?? {};
  }

  kill(signal: NodeJS.Signals = "SIGTERM"): void {
    this.child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill("SIGKILL");
    await this.exited;
  }

  #wake(): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const wake of waiters) wake();
  }
}

/** A folder, a home and a state of its own for agents, gone at the end. */
export class Place implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "ggrok-e2e-"));
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;

  constructor(env: NodeJS.ProcessEnv = {}) {
    const {
      GGROK_RELAY: _r,
      GGROK_AUTHTOKEN: _t,
      GGROK_CONFIG: _c,
      GGROK_LOG_LEVEL: _l,
      HTTP_PROXY: _p,
      HTTPS_PROXY: _q,
      ALL_PROXY: _a,
      CI: _ci, // with it there is no screen
      ...rest
    } = process.env;
    this.cwd = mkdtempSync(join(this.folder, "cwd-"));
    this.env = {
      ...rest,
      HOME: this.folder,
      XDG_CONFIG_HOME: join(this.folder, "config"),
      XDG_STATE_HOME: join(this.folder, "state"),
      ...env,
    };
  }

  get configPath(): string {
    return join(this.folder, "config", "ggrok", "ggrok.yml");
  }

  /** Runs `ggrok` here. The local API takes any port unless the arguments say otherwise. */
  ggrok(args: readonly string[], o: { env?: NodeJS.ProcessEnv; cwd?: string; stdin?: string } = {}): Program {
    const web =
      args[0] === "http" && !args.some((arg) => arg.startsWith("--web-addr")) ? ["--web-addr", "127.0.0.1:0"] : [];
    const [command = "", ...others] = args;
    return new Program(CLIENT_BIN, [command, ...web, ...others], {
      env: { ...this.env, ...o.env },
      cwd: o.cwd ?? this.cwd,
      ...(o.stdin !== undefined && { stdin: o.stdin }),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A relay as a process of its own. */
export class RelayProcess implements AsyncDisposable {
  readonly program: Program;
  port = 0;

  private constructor(program: Program) {
    this.program = program;
  }

  static async start(args: readonly string[] = ["--domain", "localhost"], port = 0): Promise<RelayProcess> {
    const { GGROK_TOKEN: _t, PORT: _p, GGROK_PORT: _q, ...env } = process.env;
    const relay = new RelayProcess(
      new Program(RELAY_BIN, ["--port", String(port), "--bind", "127.0.0.1", "--log-format", "json", ...args], {
        env,
        cwd: tmpdir(),
      }),
    );
    try {
      const { port: bound } = await relay.program.event("relay.listening");
      relay.port = Number(bound);
      return relay;
    } catch (error) {
      await relay[Symbol.asyncDispose]();
      throw error;
    }
  }

  get origin(): string {
    return `http://localhost:${this.port}`;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.program[Symbol.asyncDispose]();
  }
}

/** An app on a port of its own. */
export class App implements AsyncDisposable {
  readonly server: Server;

  private constructor(server: Server) {
    this.server = server;
  }

  static async start(listener: RequestListener, port = 0): Promise<App> {
    const server = createServer(listener);
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return new App(server);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((done) => this.server.close(done));
    this.server.closeAllConnections();
    await closed;
  }
}

/** What a visitor of a tunnel gets; names under `localhost` are this machine whatever the resolver says. */
export async function visit(
  url: string,
  path = "/",
  o: { method?: string; body?: string; headers?: Record<string, string> } = {},
): Promise<{ status: number; text: string; headers: IncomingMessage["headers"] }> {
  const { host, port } = new URL(url);
  const call = request({
    host: "127.0.0.1",
    port,
    path,
    method: o.method ?? "GET",
    headers: { ...o.headers, host },
    agent: false,
  });
  call.end(o.body);
  const [response] = (await once(call, "response", { signal: AbortSignal.timeout(DEADLINE_MS) })) as [IncomingMessage];
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode ?? 0, text, headers: response.headers };
}

/** A port nobody listens on. */
export async function freePort(): Promise<number> {
  const app = await App.start(() => {});
  const { port } = app;
  await app[Symbol.asyncDispose]();
  return port;
}
