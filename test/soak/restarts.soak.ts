// Relays that are replaced under load, twenty times: nothing that was in flight may break.
import { afterAll, expect, it } from "vitest";
import { pace as paced, within } from "../harness/deadline.ts";
import { patternDigest } from "../harness/fault-app.ts";
import { FaultWorld, Tally } from "../harness/fault-world.ts";
import { closeVisitors, download, pace } from "../harness/visitors.ts";

const ROUNDS = Number(process.env["GGROK_SOAK_RESTARTS"] ?? 20);

afterAll(closeVisitors);

it(`breaks no request in ${ROUNDS} drains under load`, { timeout: ROUNDS * 30_000 }, async () => {
  await using world = await FaultWorld.start({ name: "drains", relayArgs: ["--grace", "10s"] });
  const tally = new Tally();
  for (let round = 0; round < ROUNDS; round += 1) {
    const load = new AbortController();
    const loaded = paced(50, load.signal, (index) => tally.send(world.door, `d${round}-`, index));
    const slow = Array.from({ length: 10 }, () => download(world.door, "/down?bytes=1300000&pause=100"));
    await pace(700);
    const old = world.relay.program;
    // Visitors who come between the two relays find no listener; the load pauses for them, what is in flight does not.
    load.abort();
    await loaded;
    old.kill("SIGTERM");
    await old.event("relay.draining");
    await world.startRelay();
    for (let i = 0; i < 20; i += 1) tally.send(world.door, `after${round}-`, i);
    for (const got of await Promise.all(slow)) expect(got.sha256).toBe(patternDigest(1_300_000));
    await tally.settled();
    expect(await within("the old relay's exit", old.exited, 15_000)).toBe(0);
  }
  expect(tally.counts, String(tally)).toEqual({ 200: tally.sent });
  expect(tally.wrong, String(tally)).toEqual([]);
  expect(world.app.doubled, String(tally)).toEqual([]);
});
