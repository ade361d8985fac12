import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, describe, expect, it } from "vitest";
import { Changes, eventually, within } from "../harness/deadline.ts";
import { App, freePort, visit } from "./cli-world.ts";

// The first command of the README, as a stranger types it: npm, the machine's own Node, everything that comes after.
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const START_MS = 50_000;
const state = mkdtempSync(join(tmpdir(), "ggrok-npm-start-"));
afterAll(() => rmSync(state, { recursive: true, force: true }));

/** `npm start`, in a process group of its own as a terminal gives it one. */
class NpmStart implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  readonly #changes = new Changes();
  output = "";

  constructor(...args: string[]) {
    this.child = spawn("npm", ["start", ...args], {
      cwd: ROOT,
      // A setting for other relays and agents of this machine plays no part.
      env: { ...process.env, XDG_STATE_HOME: state, GGROK_TOKEN: "not-for-this-one", GGROK_RELAY: "relay.example.com" },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.output += text;
        this.#changes.notify();
      });
    }
    this.exited = once(this.child, "close").then(([code]) => code as number | null);
  }

  /** What stands behind a label of the output, once it is there. */
  async value(label: string): Promise<string> {
    const read = (): string | undefined => new RegExp(`^${label}: +(\\S+)`, "m").exec(this.output)?.[1];
    await this.#changes.until(
      () => `"${label}" in\n${this.output}`,
      () => read() !== undefined,
      START_MS,
    );
    return read() ?? "";
  }

  async says(text: string): Promise<void> {
    await this.#changes.until(
      () => `"${text}" in\n${this.output}`,
      () => this.output.includes(text),
      START_MS,
    );
  }

  /** Ctrl+C: a terminal sends it to the whole group. */
  interrupt(): void {
    if (this.child.pid !== undefined) process.kill(-this.child.pid, "SIGINT");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.interrupt();
    await this.exited;
  }
}

/** Processes of this machine whose command line has all of these words. */
async function processesWith(...words: string[]): Promise<string[]> {
  const { stdout } = await promisify(execFile)("ps", ["-eww", "-o", "pid,args"], { maxBuffer: 1 << 24 });
  return stdout.split("\n").filter((line) => words.every((word) => line.includes(word)));
}

describe("npm start", () => {
  it("gives an app of ours an address, and leaves nothing behind", { timeout: 120_000 }, async () => {
    await using app = await App.start((request, response) => response.end(`app ${request.url}`));
    await using program = new NpmStart("--", String(app.port));
    const url = await program.value("Public address");
    expect(url).toMatch(/^http:\/\/[a-z0-9]+\.localhost:\d+$/);
    expect(await program.value("Forwards to")).toBe(`http://localhost:${app.port}`);
    expect(await visit(url, "/from-outside")).toMatchObject({ status: 200, text: "app /from-outside" });
    await program.says("GET /from-outside 200");
    const inspector = await program.value("Inspector");
    const { tunnels } = (await (await fetch(`${inspector}/api/tunnels`)).json()) as {
      tunnels: { public_url: string }[];
    };
    expect(tunnels[0]?.public_url).toBe(url);
    const relay = [`${ROOT}packages/server/`, `--port ${new URL(url).port} --domain`];
    const agent = [`${ROOT}packages/client/`, `http ${app.port} `];
    expect([await processesWith(...relay), await processesWith(...agent)]).toEqual([
      [expect.any(String)],
      [expect.any(String)],
    ]);
    program.interrupt();
    await within(`the end of\n${program.output}`, program.exited, START_MS);
    expect(await processesWith(...relay)).toEqual([]);
    expect(await processesWith(...agent)).toEqual([]);
  });

  it("leaves nothing behind when npm alone is told to end", { timeout: 120_000 }, async () => {
    await using program = new NpmStart();
    const url = await program.value("Public address");
    program.child.kill("SIGTERM");
    await within(`the end of\n${program.output}`, program.exited, START_MS);
    expect(await processesWith(`${ROOT}packages/server/`, `--port ${new URL(url).port} --domain`)).toEqual([]);
    expect(await processesWith(`${ROOT}packages/client/`, `--relay ${url.replace(/\/\/[^.]+\./, "//")} `)).toEqual([]);
  });

  it("brings an app along where there is none", { timeout: 120_000 }, async () => {
    await using program = new NpmStart();
    const url = await program.value("Public address");
    expect((await visit(url)).text).toContain("It works.");
    expect((await visit(url, "/echo", { method: "POST", body: "hello" })).text).toContain("hello");
  });

  it("says that nothing listens at the port yet, and needs no restart when it does", { timeout: 120_000 }, async () => {
    const port = await freePort();
    await using program = new NpmStart("--", String(port));
    const url = await program.value("Public address");
    await program.says(`nothing listens on localhost:${port} yet`);
    expect(await visit(url)).toMatchObject({ status: 502, headers: { "ggrok-error": "ERR_GGROK_UPSTREAM_REFUSED" } });
    await using app = await App.start((_request, response) => response.end("here now"), port);
    let text = "";
    await eventually(
      () => `the app's answer, the last was ${text}`,
      () => {
        void visit(url).then((answer) => {
          text = answer.text;
        });
        return text === "here now";
      },
    );
    expect(app.port).toBe(port);
  });

  it("names a port that is none", { timeout: 120_000 }, async () => {
    await using program = new NpmStart("--", "99999");
    expect(await program.exited).toBe(1);
    expect(program.output).toContain('"99999" is no port. Usage: npm start [-- PORT]');
  });
});
