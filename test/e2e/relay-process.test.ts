import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { encodeResponseHead, FLAG_FIN, FrameType } from "@ggrok/protocol";
import { afterEach, describe, expect, it } from "vitest";
import { RawAgent } from "./raw-agent.ts";

const BIN = fileURLToPath(new URL("../../packages/server/src/bin.ts", import.meta.url));
const children: ChildProcess[] = [];

afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

interface LogLine {
  event?: string;
  url: string;
  port: number;
  msg: string;
}

class RelayChild {
  readonly process: ChildProcess;
  readonly exited: Promise<number | null>;
  readonly lines: LogLine[] = [];
  readonly listening: Promise<LogLine>;
  stderr = "";

  constructor(args: string[], env: Record<string, string> = {}) {
    const { PATH = "" } = process.env;
    this.process = spawn(process.execPath, ["--conditions=ggrok-source", BIN, ...args], { env: { PATH, ...env } });
    children.push(this.process);
    this.exited = once(this.process, "close").then(([code]) => code as number | null);
    this.process.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    const { stdout } = this.process;
    if (stdout === null) throw new Error("standard output is a pipe");
    this.listening = new Promise((resolve, reject) => {
      createInterface({ input: stdout }).on("line", (line) => {
        if (line.startsWith("{")) this.lines.push(JSON.parse(line) as LogLine);
        const [first] = this.lines;
        if (first !== undefined) resolve(first);
      });
      void this.exited.then(() => reject(new Error(`exited before it listened: ${this.stderr}`)));
    });
    this.listening.catch(() => {});
  }
}

describe("ggrok-relay", () => {
  it("says first where it listens, then that it takes agents from this machine only", async () => {
    const relay = new RelayChild([], { PORT: "0" });
    const first = await relay.listening;
    expect(first).toMatchObject({ event: "relay.listening", url: `http://localhost:${String(first.port)}` });
    expect((await fetch(`http://127.0.0.1:${String(first.port)}/$$ggrok/ready`)).status).toBe(200);
    relay.process.kill("SIGTERM");
    expect(await relay.exited).toBe(0);
    expect(relay.lines[1]?.msg).toContain("no token is configured");
  });

  it("is loud about anonymous agents", async () => {
    const relay = new RelayChild(["--port", "0", "--bind", "127.0.0.1", "--allow-anonymous"]);
    await relay.listening;
    relay.process.kill("SIGINT");
    expect(await relay.exited).toBe(0);
    expect(relay.lines[1]?.msg).toContain("ANONYMOUS AGENTS ARE ALLOWED");
  });

  it("finishes open exchanges at the first signal and exits 0", async () => {
    const relay = new RelayChild(["--port", "0"]);
    const { url, port } = await relay.listening;
    const [agent] = await RawAgent.online(`http://127.0.0.1:${String(port)}`);
    expect(await agent.bind()).toMatchObject({ type: "bound" });
    const answer = fetch(`${url}/slow`);
    const { id } = await agent.opened();
    relay.process.kill("SIGTERM");
    await agent.next("drain");
    agent.frame(FrameType.Head, FLAG_FIN, id, encodeResponseHead({ status: 204, reason: "", fields: [] }));
    agent.frame(FrameType.GoAway, 0, 0, Buffer.alloc(6));
    expect((await answer).status).toBe(204);
    expect(await relay.exited).toBe(0);
    expect(relay.lines.map(({ event }) => event)).toContain("relay.draining");
    agent.terminate();
  });

  it("exits 1 at once at the second signal", async () => {
    const relay = new RelayChild(["--port", "0"]);
    const { url, port } = await relay.listening;
    const [agent] = await RawAgent.online(`http://127.0.0.1:${String(port)}`);
    await agent.bind();
    const answer = fetch(`${url}/for-ever`).catch(() => undefined);
    await agent.opened();
    relay.process.kill("SIGTERM");
    await agent.next("drain");
    relay.process.kill("SIGINT");
    expect(await relay.exited).toBe(1);
    await answer;
    agent.terminate();
  });

  it("keeps tokens out of what it prints", async () => {
    const folder = await mkdtemp(join(tmpdir(), "ggrok-relay-"));
    try {
      const config = join(folder, "relay.yaml");
      await writeFile(join(folder, "token"), "hunter2-file\n");
      await writeFile(config, `port: 0\nbind: 127.0.0.1\ntoken:\n  - file:${join(folder, "token")}\n  - env:SECRET\n`);
      const relay = new RelayChild(["--config", config, "--log-level", "trace"], { SECRET: "hunter2-env" });
      const { port } = await relay.listening;
      const url = `http://127.0.0.1:${String(port)}`;
      for (const token of ["hunter2-file", "hunter2-env"])
        (await RawAgent.online(url, { instance: `instance-${token.slice(8)}` }, { token }))[0].terminate();
      await expect(RawAgent.dial(url, { token: "hunter2-wrong" })).rejects.toThrow("401");
      relay.process.kill("SIGTERM");
      expect(await relay.exited).toBe(0);
      expect(JSON.stringify(relay.lines) + relay.stderr).not.toContain("hunter2");
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it.each([
    [["--nope"], 2, "--nope"],
    [["frobnicate"], 2, "frobnicate"],
    [["--port", "many", "--hold", "5"], 3, "--hold"],
    // Nothing can be made there; its kernel says that a folder above is missing.
    [["--port", "0", "--data-dir", "/proc/x/y"], 3, "data-dir: /proc/x cannot be made: "],
    [["--port", "0", "--data-dir", "/dev/null/x"], 3, "data-dir: /dev/null cannot be made: "],
    [["token", "list", "--data-dir", "/proc/x/y"], 3, "/proc/x cannot be made: "],
    [["--bind", "192.0.2.1", "--port", "0"], 1, "leave --bind out"],
    [["--bind", "nowhere.invalid", "--port", "0"], 1, "leave --bind out"],
  ])("ends for %j with %d", async (args, code, text) => {
    const relay = new RelayChild(args);
    expect(await relay.exited).toBe(code);
    expect(relay.stderr).toContain(text);
    expect(relay.stderr).not.toContain("    at ");
  });

  it("says that the port is taken", async () => {
    const first = new RelayChild(["--port", "0"]);
    const { port } = await first.listening;
    const second = new RelayChild(["--port", String(port)]);
    expect(await second.exited).toBe(1);
    expect(second.stderr).toContain("EADDRINUSE");
    first.process.kill("SIGTERM");
    expect(await first.exited).toBe(0);
  });
});
