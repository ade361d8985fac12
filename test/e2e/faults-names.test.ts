// Who has a name after a handshake was lost, a supervisor restarted its agent, or two of them quarrel.
import { afterAll, describe, expect, it } from "vitest";
import { FaultWorld } from "../harness/fault-world.ts";
import { closeVisitors, pace } from "../harness/visitors.ts";
import { App, Place, type Program, RelayProcess, visit } from "./cli-world.ts";

afterAll(closeVisitors);

/** Long enough for a dozen restarts, if nothing held them back. */
const QUARREL_MS = 15_000;
const TOKEN = "token-of-both-supervisors";

describe("a handshake that is cut", () => {
  // Upgrade, its answer, hello, welcome, bind, bound, and what follows; in both directions together.
  it.each([1, 2, 3, 4, 5, 6, 7, 8])(
    "twice after message %i ends under the same name, at the start and at a resume",
    { timeout: 60_000, concurrent: true },
    async (reads) => {
      await using world = await FaultWorld.start({ name: `cut${reads}`, link: { resetAfterReads: [reads, reads] } });
      const { link, agent } = world;
      if (link === undefined) throw new Error("unreachable");
      const outcomes = [(await world.ask("/get/first")).status];
      // What is left over of the start would count for the resume.
      link.resetAfterReads = [reads, reads];
      link.cut();
      outcomes.push((await world.ask("/post/second", { method: "POST", body: "x" })).status);
      await agent.until("the last connection", () => link.resetAfterReads.length === 0);
      outcomes.push((await world.ask("/get/third")).status);
      const note = `${outcomes.join(", ")}; ${link.connections} connections\n${agent.stdout}\n${agent.stderr}`;
      expect(outcomes, note).toEqual([200, 200, 200]);
      expect(agent.child.exitCode, note).toBeNull();
      expect(world.urls, note).toEqual([`http://cut${reads}.localhost:${link.port}`]);
      expect(world.app.doubled, note).toEqual([]);
    },
  );
});

it("requests that wait for a killed agent are served by the one started after it", { timeout: 60_000 }, async () => {
  await using world = await FaultWorld.start({ name: "parked" });
  world.agent.kill("SIGKILL");
  await world.agent.exited;
  const waiting = Array.from({ length: 20 }, (_, i) =>
    world.ask(`/post/w${i}`, { method: "POST", body: `waiting ${i}` }),
  );
  await world.startAgent();
  const answers = await Promise.all(waiting);
  expect(answers.map(({ status, body }) => `${status} ${body}`)).toEqual(waiting.map((_, i) => `200 waiting ${i}`));
  expect(world.app.doubled).toEqual([]);
  expect(world.urls).toEqual([`http://parked.localhost:${world.relay.port}`]);
});

it("two supervisors that restart their agents with --takeover change the holder three times a minute at most", {
  timeout: 60_000,
}, async () => {
  await using relay = await RelayProcess.start(["--domain", "localhost", "--token", TOKEN]);
  await using one = await App.start((_request, response) => response.end("one"));
  await using two = await App.start((_request, response) => response.end("two"));
  await using placeOne = new Place({ GGROK_AUTHTOKEN: TOKEN });
  await using placeTwo = new Place({ GGROK_AUTHTOKEN: TOKEN });
  const url = `http://quarrel.localhost:${relay.port}`;
  const runs: Program[] = [];
  let isOver = false;
  const supervise = async (place: Place, app: App): Promise<void> => {
    while (!isOver) {
      const agent = place.ggrok([
        ...["http", String(app.port), "--relay", relay.origin, "--url", url, "--takeover", "--json"],
      ]);
      runs.push(agent);
      await agent.exited;
    }
  };
  const supervisors = [supervise(placeOne, one), supervise(placeTwo, two)];
  await pace(QUARREL_MS);
  const answer = await visit(url);
  isOver = true;
  for (const run of runs) run.kill("SIGKILL");
  await Promise.all(supervisors);
  const online = runs.filter((run) => run.events("tunnel.online").length > 0).length;
  const note = `${online} of ${runs.length} runs had the name\n${runs.map((run) => run.stdout).join("---\n")}`;
  expect(online, note).toBeGreaterThanOrEqual(2);
  expect(online, note).toBeLessThanOrEqual(4);
  expect(runs.length, note).toBeGreaterThan(online);
  expect([answer.status, ["one", "two"].includes(answer.text)], note).toEqual([200, true]);
});
