import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const FIXTURES = fileURLToPath(new URL("./fixtures/", import.meta.url));
/** The first compilation of a page takes its time on a busy machine. */
const START_MS = 60_000;

/** How a dev server is started. */
export interface DevServerOptions {
  /** Folder below `fixtures`. */
  readonly fixture: string;
  /** Program and arguments; a script of the fixture's own dependencies runs on this Node. */
  readonly command: (port: number) => readonly [string, ...string[]];
  readonly env?: (port: number) => NodeJS.ProcessEnv;
}

/** A real dev server, as a process of its own, on a copy of its fixture that a test may edit. */
export class DevServer implements AsyncDisposable {
  readonly port: number;
  readonly folder: string;
  output = "";
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;

  private constructor(o: DevServerOptions, port: number, folder: string) {
    this.port = port;
    this.folder = folder;
    const [program, ...args] = o.command(port);
    this.#child = spawn(program, args, {
      cwd: folder,
      env: { ...process.env, NODE_ENV: "development", CI: "1", ...o.env?.(port) },
      stdio: ["ignore", "pipe", "pipe"],
      // Dev servers start processes of their own: they end as a group.
      detached: true,
    });
    this.#exited = once(this.#child, "exit").catch(() => {});
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        this.output += chunk.toString("utf8");
      });
    }
  }

  static async start(o: DevServerOptions): Promise<DevServer> {
    const source = join(FIXTURES, o.fixture);
    // Below the fixture, so that the dependencies are found as in any project.
    mkdirSync(join(source, "run"), { recursive: true });
    const folder = mkdtempSync(join(source, "run", "r-"));
    cpSync(join(source, "site"), folder, { recursive: true });
    const server = new DevServer(o, await freePort(), folder);
    try {
      await server.#listening();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Writes a file of the site, as an editor would. */
  edit(path: string, text: string): void {
    writeFileSync(join(this.folder, path), text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { pid, exitCode, signalCode } = this.#child;
    if (pid !== undefined && exitCode === null && signalCode === null) process.kill(-pid, "SIGKILL");
    if (pid !== undefined) await this.#exited;
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  async #listening(): Promise<void> {
    const deadline = Date.now() + START_MS;
    while (!(await accepts("127.0.0.1", this.port)) && !(await accepts("::1", this.port))) {
      const isOver = this.#child.exitCode !== null || this.#child.pid === undefined;
      if (isOver || Date.now() > deadline) throw new Error(`the dev server did not start:\n${this.output}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const settle = (outcome: boolean): void => {
      socket.destroy();
      resolve(outcome);
    };
    socket.once("connect", () => settle(true));
    socket.once("error", () => settle(false));
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
