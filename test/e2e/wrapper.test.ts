import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { eventually } from "../harness/deadline.ts";
import { freePort, Place, type Program, RelayProcess, visit } from "./cli-world.ts";

/** A server that says what it was given, listens where PORT says or anywhere, and ends as told. */
const SERVER = `
const { createServer } = require("node:http");
process.on("SIGTERM", () => { console.log("told to end"); process.exit(7); });
const server = createServer((request, response) => {
  if (request.url === "/exit") process.exit(5);
  response.end(JSON.stringify({ host: request.headers.host, env: process.env, args: process.argv.slice(2) }));
});
setTimeout(() => server.listen(Number(process.env.PORT ?? 0), process.argv[2] ?? "127.0.0.1", () => {
  console.log("  Local:   http://localhost:" + server.address().port + "/");
}), Number(process.env.DELAY_MS ?? 0));
`;

function writeServer(place: Place): string {
  const path = join(place.cwd, "server.cjs");
  writeFileSync(path, SERVER);
  return path;
}

function wrap(place: Place, relay: RelayProcess, args: readonly string[], env: NodeJS.ProcessEnv = {}): Program {
  return place.ggrok(["http", "--relay", relay.origin, ...args], { env });
}

const isGone = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
};

/** The line of standard output that is the address: the command's own lines are among them. */
async function address(agent: Program): Promise<string> {
  await agent.until("the address", () => agent.lines.some((line) => line.startsWith("http://")));
  return agent.lines.find((line) => line.startsWith("http://")) ?? "";
}

/** A program that is killed cannot take its command along. */
async function endWell(agent: Program): Promise<void> {
  agent.kill();
  expect(await agent.exited).toBe(7);
}

async function told(url: string): Promise<{ host: string; env: NodeJS.ProcessEnv; args: string[] }> {
  return JSON.parse((await visit(url)).text) as { host: string; env: NodeJS.ProcessEnv; args: string[] };
}

describe("ggrok http 3000 -- command", () => {
  it("tells the command its port and its address, and prints the address when the port is open", async () => {
    await using relay = await RelayProcess.start();
    await using place = new Place();
    const port = await freePort();
    await using agent = wrap(place, relay, ["--url", "web", String(port), "--", process.execPath, writeServer(place)], {
      DELAY_MS: "700",
    });
    const url = await address(agent);
    expect(url).toBe(`http://web.localhost:${relay.port}`);
    const { env, host } = await told(url);
    expect(env).toMatchObject({
      PORT: String(port),
      GGROK_URL: url,
      __VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS: "web.localhost",
      RAILS_DEVELOPMENT_HOSTS: "web.localhost",
    });
    expect(host).toBe(`web.localhost:${relay.port}`);
    // The server had announced itself before.
    expect(agent.stdout).toBe(`  Local:   http://localhost:${port}/\n${url}\n`);
    await endWell(agent);
  });

  it("passes options behind -- to the command alone", async () => {
    await using relay = await RelayProcess.start();
    await using place = new Place();
    const port = await freePort();
    const command = [process.execPath, writeServer(place), "::", "--url=x", "--", "--help"];
    await using agent = wrap(place, relay, [String(port), "--", ...command]);
    const { args } = await told(await address(agent));
    expect(args).toEqual(["::", "--url=x", "--", "--help"]);
    await endWell(agent);
  });

  it("ends with the command and returns its exit code", async () => {
    await using relay = await RelayProcess.start();
    await using place = new Place();
    const port = await freePort();
    await using agent = wrap(place, relay, [String(port), "--", process.execPath, writeServer(place)]);
    const url = await address(agent);
    await visit(url, "/exit");
    expect(await agent.exited).toBe(5);
    await relay.program.event("endpoint.released");
  });

  it.each([
    ["SIGTERM", 7],
    ["SIGINT", 130],
    ["SIGHUP", 129],
  ] as const)("hands %s on and returns what the command makes of it", async (signal, code) => {
    await using relay = await RelayProcess.start();
    await using place = new Place();
    const port = await freePort();
    await using agent = wrap(place, relay, [String(port), "--", process.execPath, writeServer(place)]);
    await address(agent);
    agent.kill(signal);
    expect(await agent.exited).toBe(code);
    if (signal === "SIGTERM") expect(agent.stdout).toContain("told to end\n");
  });

  it("reaches what the command has started, as npm's scripts are", async () => {
    await using relay = await RelayProcess.start();
    await using place = new Place();
    const port = await freePort();
    const script = `"${process.execPath}" "${writeServer(place)}"; exit 4`;
    await using agent = wrap(place, relay, [String(port), "--", "sh", "-c", script]);
    await address(agent);
    agent.kill("SIGTERM");
    // The shell dies of the signal; its child ends in its own way.
    expect(await agent.exited).toBe(143);
    expect(agent.stdout).toContain("told to end\n");
  });

  it("says so when there is no such command, as a shell does", async () => {
    await using relay = await RelayProcess.start();
    await using place = new Place();
    await using agent = wrap(place, relay, ["3000", "--", "no-such-command-here"]);
    expect(await agent.exited).toBe(127);
    expect(agent.stderr).toContain("no-such-command-here: command not found");
  });

  it("ends the command when it does not listen within --wait", async () => {
    await using relay = await RelayProcess.start();
    await using place = new Place();
    const port = await freePort();
    const silent = [process.execPath, "-e", "setInterval(() => {}, 1000)"];
    for (const target of [[String(port)], []]) {
      await using agent = wrap(place, relay, ["--wait=500ms", ...target, "--", ...silent]);
      expect(await agent.exited).toBe(7);
      expect([agent.stdout, agent.stderr]).toEqual(["", expect.stringContaining("no connection within 0.5 s")]);
    }
  });

  it("does not start the command when the name cannot be had", async () => {
    await using relay = await RelayProcess.start();
    await using place = new Place();
    const url = "https://elsewhere.example";
    await using agent = wrap(place, relay, ["--url", url, "3000", "--", process.execPath, "-e", "console.log('ran')"]);
    expect(await agent.exited).toBe(5);
    expect(agent.stdout).toBe("");
  });

  it("ends the command when its name was taken over", async () => {
    await using relay = await RelayProcess.start(["--domain", "localhost", "--token", "tok-1234567890"]);
    await using place = new Place({ GGROK_AUTHTOKEN: "tok-1234567890" });
    const port = await freePort();
    const pid = join(place.cwd, "pid");
    const code = `require("fs").writeFileSync(${JSON.stringify(pid)}, String(process.pid)); setInterval(() => {}, 1000)`;
    await using agent = wrap(place, relay, ["--url", "web", String(port), "--", process.execPath, "-e", code]);
    await relay.program.event("endpoint.bound");
    await eventually(
      () => "the command to start",
      () => existsSync(pid) && readFileSync(pid, "utf8") !== "",
    );
    await using other = place.ggrok(["http", "--takeover", "--url", "web", "--relay", relay.origin, "3000"], {
      cwd: place.folder,
    });
    await other.line();
    expect(await agent.exited).toBe(5);
    expect(isGone(Number(readFileSync(pid, "utf8")))).toBe(true);
  });
});

describe("ggrok http -- command", () => {
  it("finds the port in what the command prints", async () => {
    await using relay = await RelayProcess.start();
    await using place = new Place();
    await using agent = wrap(place, relay, ["--url", "web", "--json", "--", process.execPath, writeServer(place)]);
    const online = await agent.event("tunnel.online");
    // With --json standard output is ours alone; the command's is on standard error.
    const port = /Local: {3}http:\/\/localhost:(\d+)\//.exec(agent.stderr)?.[1];
    expect(online).toMatchObject({ url: `http://web.localhost:${relay.port}`, target: `http://localhost:${port}` });
    const { env } = await told(String(online["url"]));
    expect(env["PORT"]).toBeUndefined();
    expect(agent.events("tunnel.online")).toHaveLength(1);
    await endWell(agent);
  });

  it("keeps its address for the next start of the same command", async () => {
    await using relay = await RelayProcess.start();
    await using place = new Place();
    const urls: string[] = [];
    for (let i = 0; i < 2; i++) {
      await using agent = wrap(place, relay, ["--", process.execPath, writeServer(place)]);
      urls.push(await address(agent));
      await endWell(agent);
    }
    expect(urls[1]).toBe(urls[0]);
  });

  it("needs a target or a command, and takes a command beside http alone", async () => {
    await using place = new Place();
    for (const args of [["http"], ["status", "--", "true"]]) {
      await using agent = place.ggrok(args);
      expect(await agent.exited, args.join(" ")).toBe(2);
    }
  });
});
