// The screen of `ggrok http` on a real terminal: a pseudo-terminal by script(1), read by a terminal emulator.
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import xterm from "@xterm/headless";
import { describe, expect, it } from "vitest";
import { Changes, eventually, within } from "../harness/deadline.ts";
import { App, Place, RelayProcess, visit } from "./cli-world.ts";

const CLIENT_BIN = fileURLToPath(new URL("../../packages/client/src/bin.ts", import.meta.url));
const TOKEN = "a-token-of-thirty-two-characters";
const DEADLINE_MS = 20_000;

/** A program on a terminal of its own, and what stands on it. */
class TerminalProgram implements AsyncDisposable {
  readonly screen = new xterm.Terminal({ cols: 100, rows: 30, allowProposedApi: true });
  readonly exited: Promise<number | null>;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #changes = new Changes();
  #device = "";

  constructor(args: readonly string[], place: Place) {
    const node = [process.execPath, "--conditions=ggrok-source", "--disable-warning=ExperimentalWarning", CLIENT_BIN];
    // The shell tells the name of the terminal first, so that it can be resized from outside.
    const command = `stty cols 100 rows 30; tty; exec ${[...node, ...args].map((arg) => `'${arg}'`).join(" ")}`;
    this.#child = spawn("script", ["-qefc", command, "/dev/null"], {
      cwd: place.cwd,
      env: { ...place.env, TERM: "xterm-256color", SHELL: "/bin/sh" },
    });
    this.exited = once(this.#child, "close").then(([code]) => code as number | null);
    this.#child.stdout.on("data", (chunk: Buffer) => {
      this.#device ||= /\/dev\/\S+/u.exec(chunk.toString())?.[0] ?? "";
      this.screen.write(chunk, () => this.#changes.notify());
    });
  }

  /** What a reader sees, line by line, without the blanks behind. */
  get lines(): string[] {
    const { active } = this.screen.buffer;
    return Array.from(
      { length: this.screen.rows },
      (_, row) =>
        active
          .getLine(active.viewportY + row)
          ?.translateToString(false, 0, this.screen.cols)
          .trimEnd() ?? "",
    );
  }

  /** Waits for a line that matches. @returns it */
  async shows(pattern: RegExp): Promise<string> {
    const find = (): string | undefined => this.lines.find((line) => pattern.test(line));
    await eventually(
      () => `${pattern} on the screen:\n${this.lines.join("\n")}`,
      () => find() !== undefined,
      DEADLINE_MS,
    );
    return find() ?? "";
  }

  resize(cols: number, rows: number): void {
    this.screen.resize(cols, rows);
    spawnSync("stty", ["-F", this.#device, "cols", String(cols), "rows", String(rows)]);
  }

  type(keys: string): void {
    this.#child.stdin.write(keys);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) this.#child.kill("SIGKILL");
    await this.exited;
    this.screen.dispose();
  }
}

describe("the screen", () => {
  it("shows the tunnel and every request, fits every size, and gives the terminal back", {
    timeout: 60_000,
  }, async () => {
    await using relay = await RelayProcess.start();
    await using app = await App.start((req, res) => {
      res.writeHead(req.url === "/missing" ? 404 : 200).end("here");
    });
    await using place = new Place();
    await using program = new TerminalProgram(
      ["http", String(app.port), "--relay", relay.origin, "--url", "screen", "--web-addr", "127.0.0.1:0"],
      place,
    );
    expect(await program.shows(/^Session Status/u)).toMatch(/^Session Status\s+(connecting|online)$/u);
    const url = `http://screen.localhost:${relay.port}`;
    expect(await program.shows(/^Forwarding/u)).toContain(" -> ");
    await program.shows(new RegExp(`^Forwarding\\s+${url} -> http://localhost:${app.port}$`, "u"));
    await program.shows(/^Web Interface\s+http:\/\/127\.0\.0\.1:\d+$/u);
    await program.shows(/^Latency\s+\d+ms$/u);

    await visit(url, "/first");
    await visit(url, "/missing");
    await visit(url, "/escape%1b%5b31m?in=red");
    await program.shows(/^\d\d:\d\d:\d\d GET +\/first +200 OK$/u);
    await program.shows(/GET +\/missing +404 Not Found$/u);
    expect(await program.shows(/^Connections/u)).toMatch(/ttl +opn +rt1 +rt5 +p50 +p90$/u);
    await program.shows(/^ +3 +0 +/u);

    program.resize(44, 20);
    await program.shows(/^ggrok {23}\(Ctrl\+C to quit\)$/u);
    expect(program.lines.every((line) => line.length <= 44)).toBe(true);
    await visit(url, `/${"long".repeat(50)}`);
    await program.shows(/^\d\d:\d\d:\d\d GET +\/longlon\S*… 200 OK$/u);
    program.resize(120, 12);
    await program.shows(/^ggrok {99}\(Ctrl\+C to quit\)$/u);

    program.type("\u0003");
    expect(await within("the exit", program.exited, DEADLINE_MS)).toBe(0);
    // The user's own screen is back, with the cursor.
    expect(program.screen.buffer.active.type).toBe("normal");
    expect(program.lines.join("\n")).not.toContain("Session Status");
  });

  it("leaves what ended the agent on the user's own screen", { timeout: 60_000 }, async () => {
    await using relay = await RelayProcess.start(["--domain", "localhost", "--token", TOKEN]);
    await using place = new Place();
    await using program = new TerminalProgram(
      ["http", "3000", "--relay", relay.origin, "--authtoken", "mistyped", "--web-addr", "false"],
      place,
    );
    expect(await within("the exit", program.exited, DEADLINE_MS)).toBe(4);
    await program.shows(/^ggrok: this relay does not know the token$/u);
    await program.shows(/`ggrok login RELAY`\. \(ERR_GGROK_TOKEN_REFUSED\)$/u);
    expect(program.screen.buffer.active.type).toBe("normal");
  });
});

describe("ggrok login", () => {
  it("asks for the token, shows nothing of it, and keeps it", { timeout: 60_000 }, async () => {
    await using relay = await RelayProcess.start(["--domain", "localhost", "--token", TOKEN]);
    await using place = new Place();
    await using program = new TerminalProgram(["login", relay.origin], place);
    await program.shows(new RegExp(`Token for ${relay.origin}`, "u"));
    program.type(`${TOKEN}\r`);
    expect(await within("the exit", program.exited, DEADLINE_MS)).toBe(0);
    await program.shows(new RegExp(`^Logged in to ${relay.origin}\\.`, "u"));
    expect(program.lines.join("\n")).not.toContain(TOKEN);
    expect(readFileSync(place.configPath, "utf8")).toContain(TOKEN);
  });

  it("stores nothing when it is left with Ctrl+C", { timeout: 60_000 }, async () => {
    await using place = new Place();
    await using program = new TerminalProgram(["login", "https://relay.example"], place);
    await program.shows(/Token for https:\/\/relay\.example/u);
    program.type("\u0003");
    expect(await within("the exit", program.exited, DEADLINE_MS)).toBe(3);
    expect(existsSync(place.configPath)).toBe(false);
  });
});
