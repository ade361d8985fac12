import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { DatabaseSync } from "node:sqlite";
import { expect, it } from "vitest";
import { App } from "./cli-world.ts";
import { type ApiObject, callApi, InspectorWorld } from "./inspector-world.ts";

/** What a killed agent may lose: what ended in its last 100 ms. */
const LOST_MS = 100;
/** An exchange takes one or two milliseconds. One that takes longer than this waits for the disk or for another machine. */
const STALL_MS = 20;

/** How long the agent's own thread and the one that writes have waited for a processor since their start, milliseconds. */
function waitedMs(pid: number | undefined): number {
  let nanoseconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const read = (file: string): string => readFileSync(`/proc/${pid}/task/${thread}/${file}`, "utf8");
    // Those that compile and collect garbage come and go, and nothing waits for them.
    if (/^(?:MainThread|WorkerThread)$/.test(read("comm").trim()))
      nanoseconds += Number(read("schedstat").split(" ")[1]);
  }
  return nanoseconds / 1e6;
}

function historyFile(world: InspectorWorld): string {
  const file = world.inspectorFiles().find((name) => name.endsWith(".db"));
  if (file === undefined) throw new Error("there is no history");
  return file;
}

async function listPaths(world: InspectorWorld): Promise<string[]> {
  const { json } = await world.api("/api/requests/http?limit=1000");
  return json.requests.map((r: ApiObject) => r.request.uri);
}

async function stop(world: InspectorWorld): Promise<void> {
  world.agent.kill();
  expect(await world.agent.exited).toBe(0);
}

it("has all but the last moment again after its agent was killed in the middle of recording, twice", async () => {
  await using world = await InspectorWorld.start();
  const ended: { path: string; at: number; waited: number }[] = [];
  for (let round = 1; round <= 2; round += 1) {
    await using visitor = await world.visit();
    const until = Date.now() + 1_500;
    for (let i = 0; Date.now() < until || i < 200; i += 1) {
      const path = `/round${round}-${i}`;
      visitor.send(world.head(`POST ${path} HTTP/1.1`, "Content-Length: 1000") + "x".repeat(1_000));
      await visitor.answer();
      ended.push({ path, at: performance.now(), waited: waitedMs(world.agent.child.pid) });
    }
    world.agent.kill("SIGKILL");
    expect(await world.agent.exited).toBe("SIGKILL");
    await world.startAgent();
    const kept = new Set(await listPaths(world));
    const list = ended.slice(-900);
    const lost = list.filter(({ path }) => !kept.has(path));
    // What is missing is the end of it: nothing in between.
    expect(list.slice(list.length - lost.length)).toEqual(lost);
    // While the machine has no time for the agent, its time stands still.
    const lostMs = lost.slice(1).reduce((sum, { at, waited }, i) => {
      const before = lost[i] ?? { at, waited };
      return sum + Math.min(Math.max(0, at - before.at - (waited - before.waited)), STALL_MS);
    }, 0);
    expect(lostMs).toBeLessThanOrEqual(LOST_MS);
    expect(kept.size).toBeGreaterThan(10);
    for (const { path } of lost)
      ended.splice(
        ended.findIndex((one) => one.path === path),
        1,
      );
    expect(world.agent.stderr).not.toContain("damaged");
  }
});

it("holds up no exchange while its file cannot be written, shows them, and writes them later", async () => {
  await using world = await InspectorWorld.start();
  await world.ask(world.head("GET /before HTTP/1.1"));
  await world.exchange("path=/before");
  const other = new DatabaseSync(historyFile(world));
  other.exec("BEGIN IMMEDIATE");
  await using visitor = await world.visit();
  for (let i = 0; i < 60; i += 1) {
    visitor.send(world.head(`GET /during${i} HTTP/1.1`));
    expect((await visitor.answer())?.status).toBe(200);
  }
  await world.exchange("path=/during59");
  expect(await listPaths(world)).toHaveLength(61);
  const count = other.prepare("SELECT count(*) AS count FROM exchanges").get()?.["count"];
  expect(count).toBeLessThan(61);
  other.exec("COMMIT");
  other.close();
  await stop(world);
  await world.startAgent();
  expect(await listPaths(world)).toHaveLength(61);
});

it("goes on without recording when the disk takes no more, says so once, and loses nothing it has", async () => {
  await using world = await InspectorWorld.start();
  await world.ask(world.head("GET /kept HTTP/1.1"));
  await world.exchange("path=/kept");
  // The end of an agent writes what waits: now it is in the file.
  await stop(world);
  await world.startAgent();
  // Files of this process may not grow any further than this: writing fails as on a full disk.
  execFileSync("prlimit", [`--pid=${world.agent.child.pid}`, "--fsize=600000:600000"]);
  const notices = (): string[] =>
    world.agent.stderr.split("\n").filter((line) => line.includes("exchanges are no longer recorded"));
  const body = "x".repeat(100_000);
  for (let i = 0; i < 40 && notices().length === 0; i += 1) {
    await world.ask(`${world.head(`POST /big${i} HTTP/1.1`, `Content-Length: ${body.length}`)}${body}`);
  }
  await world.agent.until("the notice", () => notices().length > 0);
  for (let i = 0; i < 5; i += 1) await world.ask(world.head("GET /after HTTP/1.1"));
  const { json } = await world.api("/api/requests/http");
  expect(json.stats).toMatchObject({ recording: false, problem: expect.any(String) });
  expect(json.stats.dropped).toBeGreaterThanOrEqual(5);
  expect(await listPaths(world)).toContain("/kept");
  expect(notices()).toHaveLength(1);
  await stop(world);
  await world.startAgent();
  expect(await listPaths(world)).toContain("/kept");
  await world.ask(world.head("GET /again HTTP/1.1"));
  await world.exchange("path=/again");
});

it("sets a damaged history aside, says where, and records anew", async () => {
  await using world = await InspectorWorld.start();
  await world.ask(world.head("GET /old HTTP/1.1"));
  await world.exchange("path=/old");
  await stop(world);
  const file = historyFile(world);
  const damaged = Buffer.from("no database, only a text of the same length".repeat(400));
  writeFileSync(file, damaged);
  await world.startAgent();
  expect(world.agent.stderr).toContain("were damaged; they are kept as");
  const aside = world.inspectorFiles().find((name) => name.includes(".damaged-") && !/-wal$|-shm$/.test(name));
  expect(readFileSync(aside ?? "").equals(damaged)).toBe(true);
  await world.ask(world.head("GET /new HTTP/1.1"));
  await world.exchange("path=/new");
  expect(await listPaths(world)).toEqual(["/new"]);
});

it("gives a second agent of the folder a history and an address of its own", async () => {
  await using world = await InspectorWorld.start();
  await world.ask(world.head("GET /first HTTP/1.1"));
  await world.exchange("path=/first");
  const { web, agent } = world;
  await using first = agent;
  await world.startAgent(["--url", "second"]);
  expect(world.agent.stderr).toContain("another agent records in this folder");
  expect(world.web).not.toBe(web);
  await world.ask(world.head("GET /second HTTP/1.1"));
  await world.exchange("path=/second");
  expect(await listPaths(world)).toEqual(["/second"]);
  const { json } = await callApi(web, "/api/requests/http");
  expect(json.requests.map((r: ApiObject) => r.request.uri)).toEqual(["/first"]);
  first.kill();
  await first.exited;
});

it("keeps size and digest of a body above the cap, and says that it cannot be sent again", async () => {
  const size = 100 * 1_048_576 + 1;
  await using sink = await App.start((incoming, response) => {
    incoming.resume().on("end", () => response.end("ok"));
  });
  await using world = await InspectorWorld.start([], sink.port);
  const digest = createHash("sha256");
  const call = request({
    host: "127.0.0.1",
    port: world.relay.port,
    method: "PUT",
    path: "/large",
    headers: { host: world.host, "content-length": size },
    agent: false,
  });
  const chunk = Buffer.alloc(262_144, "large");
  for (let left = size; left > 0; left -= chunk.length) {
    const part = left < chunk.length ? chunk.subarray(0, left) : chunk;
    digest.update(part);
    if (!call.write(part)) await once(call, "drain");
  }
  call.end();
  const [response] = (await once(call, "response")) as [IncomingMessage];
  response.resume();
  const seen = await world.exchange("path=/large");
  expect(seen).toMatchObject({ outcome: "complete", replayable: false });
  expect(seen.request.body).toMatchObject({ size, sha256: digest.digest("hex"), stored: false, partial: false });
  expect(seen.request.raw).toBe("");
  expect((await world.api(`${seen.uri}/request-body`)).status).toBe(404);
  // What was written of it on the way is gone.
  await expect.poll(() => world.inspectorFiles().filter((name) => name.includes(".bodies"))).toEqual([]);
});
