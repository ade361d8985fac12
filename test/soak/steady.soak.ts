// 50 requests a second with transfers beside them, and a new connection every 10 s: nothing may grow.
import { readdirSync } from "node:fs";
import { afterAll, expect, it } from "vitest";
import { pace as paced } from "../harness/deadline.ts";
import { patternDigest } from "../harness/fault-app.ts";
import { FaultWorld, rssMiB, Tally } from "../harness/fault-world.ts";
import { closeVisitors, download, openWebSocket, pace } from "../harness/visitors.ts";

const MINUTES = Number(process.env["GGROK_SOAK_MINUTES"] ?? 30);

afterAll(closeVisitors);

/** Growth a minute by least squares. */
function slopePerMinute(samples: readonly { minute: number; value: number }[]): number {
  const meanX = samples.reduce((sum, { minute }) => sum + minute, 0) / samples.length;
  const meanY = samples.reduce((sum, { value }) => sum + value, 0) / samples.length;
  const covariance = samples.reduce((sum, { minute, value }) => sum + (minute - meanX) * (value - meanY), 0);
  return covariance / samples.reduce((sum, { minute }) => sum + (minute - meanX) ** 2, 0);
}

it(`stays level for ${MINUTES} minutes`, { timeout: (MINUTES + 3) * 60_000 }, async () => {
  await using world = await FaultWorld.start({ name: "steady", link: {} });
  const { link } = world;
  if (link === undefined) throw new Error("unreachable");
  const processes = { relay: world.relay.program.child.pid, agent: world.agent.child.pid };
  const tally = new Tally();
  const load = new AbortController();
  const loaded = paced(50, load.signal, (index) => tally.send(world.door, "s", index));
  const transfers = (async () => {
    while (!load.signal.aborted) {
      const got = await download(world.door, "/down?bytes=5000000&pause=20");
      expect(got).toEqual({ status: 200, bytes: 5_000_000, sha256: patternDigest(5_000_000) });
      const socket = await openWebSocket(world.door, "/ws");
      socket.terminate();
    }
  })();
  const samples: Record<string, { minute: number; value: number }[]> = { relay: [], agent: [] };
  const files: Record<string, number[]> = { relay: [], agent: [] };
  const startedAt = performance.now();
  for (let round = 1; ; round += 1) {
    await pace(5_000);
    const minute = (performance.now() - startedAt) / 60_000;
    for (const [name, pid] of Object.entries(processes)) {
      // The first sixth is warm-up: five minutes of thirty.
      if (minute < MINUTES / 6) continue;
      samples[name]?.push({ minute, value: rssMiB(pid) });
      files[name]?.push(readdirSync(`/proc/${pid}/fd`).length);
    }
    if (minute >= MINUTES) break;
    if (round % 2 === 0) await link.cutFor(200, round % 4 === 0 ? "rst" : "fin");
  }
  load.abort();
  await loaded;
  await tally.settled();
  await transfers;
  const slopes = Object.entries(samples).map(([name, of]) => {
    const slope = slopePerMinute(of);
    const everyMinute = of.filter((_, i) => i % 12 === 0).map(({ value }) => Math.round(value));
    return { name, slope, note: `${name} ${slope.toFixed(2)} MiB a minute: ${everyMinute.join(" ")} MiB` };
  });
  const note = `${tally}; ${slopes.map((each) => each.note).join("; ")}; files ${JSON.stringify(files)}`;
  console.log(note);
  expect(tally.counts, note).toEqual({ 200: tally.sent });
  expect(tally.wrong, note).toEqual([]);
  expect(world.app.doubled, note).toEqual([]);
  for (const { name, slope } of slopes) expect(slope, `MiB a minute of the ${name}; ${note}`).toBeLessThan(1);
  for (const [name, counts] of Object.entries(files)) {
    const half = Math.floor(counts.length / 2);
    const early = Math.max(...counts.slice(0, half));
    const late = Math.max(...counts.slice(half));
    expect(late, `open files of the ${name}; ${note}`).toBeLessThanOrEqual(early + 10);
  }
});
