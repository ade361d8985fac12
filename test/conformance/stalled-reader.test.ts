// One reader who stands still with a full window must not slow down the others of its session.
import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, expect, it } from "vitest";
import { eventually } from "../harness/deadline.ts";
import { FaultWorld } from "../harness/fault-world.ts";
import { closeVisitors, download } from "../harness/visitors.ts";

afterAll(closeVisitors);

const OTHERS = 99;
const BYTES = 1_000_000;

it("costs 99 others less than a tenth of their throughput", { timeout: 90_000 }, async () => {
  await using world = await FaultWorld.start({ name: "stalled" });
  const measure = async (): Promise<number> => {
    const startedAt = performance.now();
    const all = await Promise.all(Array.from({ length: OTHERS }, () => download(world.door, `/down?bytes=${BYTES}`)));
    expect(all.every(({ bytes }) => bytes === BYTES)).toBe(true);
    return performance.now() - startedAt;
  };
  const measureBesideStalled = async (): Promise<number> => {
    const socket = connect({ port: world.relay.port, host: "127.0.0.1" });
    socket.on("error", () => {});
    socket.pause();
    const asked = once(world.app.server, "request");
    socket.write(`GET /down?bytes=600000000 HTTP/1.1\r\nHost: ${world.door.host}\r\n\r\n`);
    await asked;
    // Full once the app waits: then nothing of this download moves any more.
    let sent = -1;
    await eventually(
      () => "the download to stand still",
      () => {
        const before = sent;
        sent = world.app.sentBytes;
        return sent === before;
      },
    );
    const tookMs = await measure();
    socket.destroy();
    return tookMs;
  };
  await measure();
  const without: number[] = [];
  const beside: number[] = [];
  let ratio = 0;
  // The best of each, interleaved; noise of the machine only ever lengthens a run.
  for (let round = 0; round < 8 && (round < 3 || ratio < 0.9); round += 1) {
    without.push(await measure());
    beside.push(await measureBesideStalled());
    ratio = Math.min(...without) / Math.min(...beside);
  }
  const text = (times: number[]): string => times.map((time) => Math.round(time)).join(", ");
  expect(ratio, `without ${text(without)} ms, beside a stalled reader ${text(beside)} ms`).toBeGreaterThan(0.9);
});
