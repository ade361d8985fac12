// The agent dies, ends or stands still, as a process, with visitors on its tunnel.
import { once } from "node:events";
import { afterAll, describe, expect, it } from "vitest";
import { pace as paced, within } from "../harness/deadline.ts";
import { patternDigest } from "../harness/fault-app.ts";
import { FaultWorld, Tally } from "../harness/fault-world.ts";
import { closeVisitors, download, pace } from "../harness/visitors.ts";

afterAll(closeVisitors);

const ADMIN = "admin-token-of-the-test";

async function metric(world: FaultWorld, name: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${world.relay.port}/$$ggrok/metrics`, {
    headers: { authorization: `Bearer ${ADMIN}` },
  });
  const text = await response.text();
  const line = text.split("\n").find((each) => each.startsWith(name) && !each.startsWith("#"));
  if (line === undefined) throw new Error(`no ${name} in ${text}`);
  return Number(line.split(" ").at(-1));
}

describe("an agent that is told to end under 100 requests a second", () => {
  it("costs no request when another one serves the name", { timeout: 60_000 }, async () => {
    await using world = await FaultWorld.start({ name: "pooled", agentArgs: ["--pooling-enabled"] });
    const other = await world.addAgent([]);
    const tally = new Tally();
    const load = new AbortController();
    const loaded = paced(100, load.signal, (index) => tally.send(world.door, "p", index));
    for (const agent of [world.agent, other]) {
      await pace(1_500);
      agent.kill("SIGTERM");
      expect(await within("the exit", agent.exited, 15_000)).toBe(0);
      if (agent === world.agent) {
        await pace(500);
        await world.startAgent();
      }
    }
    await pace(500);
    load.abort();
    await loaded;
    await tally.settled();
    expect(tally.counts, String(tally)).toEqual({ 200: tally.sent });
    expect(tally.wrong, String(tally)).toEqual([]);
    expect(world.app.doubled, String(tally)).toEqual([]);
    expect(tally.sent).toBeGreaterThan(300);
  });

  it("costs none of those in flight when it is alone", { timeout: 60_000 }, async () => {
    await using world = await FaultWorld.start({ name: "alone", relayArgs: ["--hold", "100ms"] });
    const slow = Array.from({ length: 20 }, (_, i) => download(world.door, `/down?bytes=${1_300_000 + i}&pause=100`));
    await pace(500);
    world.agent.kill("SIGTERM");
    expect(await within("the exit", world.agent.exited, 15_000)).toBe(0);
    const results = await Promise.all(slow);
    expect(results.map(({ bytes }) => bytes)).toEqual(slow.map((_, i) => 1_300_000 + i));
    expect((await world.ask("/get/later")).status).toBe(404);
  });
});

describe("an agent that is killed under load", () => {
  // Four at a time, five deaths each: twenty rounds in the time of five.
  it.each([0, 1, 2, 3])(
    "fails what it was given, the rest waits and is told so, and the name is free after the hold, group %i",
    { timeout: 90_000, concurrent: true },
    async (group) => {
      const args = ["--park", "500ms", "--hold", "1500ms", "--admin-token", ADMIN];
      await using world = await FaultWorld.start({ name: `dead${group}`, relayArgs: args });
      const tally = new Tally();
      const notes: string[] = [];
      for (let round = 0; round < 5; round += 1) {
        const load = new AbortController();
        const loaded = paced(25, load.signal, (index) => tally.send(world.door, `d${group}-${round}-`, index));
        const asked = once(world.app.server, "request");
        const given = world.ask("/hang", { method: "POST", body: "given" });
        const broken = download(world.door, "/down?bytes=9000000&pause=50").then(
          () => "whole",
          () => "broken",
        );
        await asked;
        await pace(400);
        world.agent.kill("SIGKILL");
        const killedAt = performance.now();
        await world.agent.exited;
        const parked = await world.ask(`/get/parked-${group}-${round}`);
        expect(parked.status).toBe(503);
        expect(parked.headers["retry-after"]).toMatch(/^\d+$/u);
        expect(parked.headers["ggrok-error"]).toBe("ERR_GGROK_ENDPOINT_OFFLINE");
        const failed = await given;
        notes.push(`given: ${failed.status} after ${Math.round(performance.now() - killedAt)} ms`);
        expect(failed.status).toBe(502);
        expect(failed.headers["ggrok-error"]).toBe("ERR_GGROK_SESSION_LOST");
        expect(performance.now() - killedAt, notes.join("; ")).toBeLessThan(2_000);
        load.abort();
        await loaded;
        await tally.settled();
        await world.relay.program.event("endpoint.released", round + 1);
        expect(await broken).toBe("broken");
        expect((await world.ask("/get/unknown")).status).toBe(404);
        expect(await metric(world, "ggrok_ingress_exchanges_open")).toBe(0);
        await world.startAgent();
        expect((await world.ask(`/get/back-${group}-${round}`)).status).toBe(200);
      }
      const note = `${tally}; ${notes.join("; ")}`;
      expect(tally.wrong, note).toEqual([]);
      expect(tally.of("hung"), note).toBe(0);
      expect(
        Object.keys(tally.counts).filter((key) => !["200", "502", "503", "broken"].includes(key)),
        note,
      ).toEqual([]);
      expect(
        world.app.doubled.filter((id) => id.startsWith("d") && Number(id.split("-")[2]) % 2 === 1),
        note,
      ).toEqual([]);
    },
  );
});

describe("an agent that stands still for 20 s", () => {
  it("loses no download, and what cannot wait that long is told so", { timeout: 90_000 }, async () => {
    await using world = await FaultWorld.start({ name: "still" });
    const tally = new Tally();
    const whole = download(world.door, "/down?bytes=40000000&pause=10");
    await pace(500);
    world.agent.kill("SIGSTOP");
    const load = new AbortController();
    const loaded = paced(5, load.signal, (index) => tally.send(world.door, "s", index));
    await pace(20_000);
    world.agent.kill("SIGCONT");
    await pace(3_000);
    load.abort();
    await loaded;
    await tally.settled();
    const note = String(tally);
    expect(await whole, note).toEqual({ status: 200, bytes: 40_000_000, sha256: patternDigest(40_000_000) });
    expect(tally.wrong, note).toEqual([]);
    expect(
      Object.keys(tally.counts).filter((key) => !["200", "502", "503"].includes(key)),
      note,
    ).toEqual([]);
    expect(
      world.app.doubled.filter((id) => Number(id.slice(1)) % 2 === 1),
      note,
    ).toEqual([]);
    expect(tally.of(200), note).toBeGreaterThan(20);
    expect(world.urls).toHaveLength(1);
    expect((await world.ask("/get/after")).status).toBe(200);
  });
});
