// Relays that are replaced again and again, and links cut at random moments: what was under way ends well.
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { afterAll, describe, expect, it } from "vitest";
import { within } from "../harness/deadline.ts";
import { pattern, patternDigest } from "../harness/fault-app.ts";
import { FaultWorld, Tally } from "../harness/fault-world.ts";
import { closeVisitors, download, openWebSocket, pace, upload } from "../harness/visitors.ts";

afterAll(closeVisitors);

const BYTES = 700_000;

describe("a relay replaced ten times on its port", () => {
  // Two side by side: twenty drains in the time of ten.
  it.each([0, 1])(
    "breaks nothing inside the drain, downloads, uploads, events and WebSockets, group %i",
    { timeout: 90_000, concurrent: true },
    async (group) => {
      await using world = await FaultWorld.start({ name: `drains${group}`, relayArgs: ["--grace", "10s"] });
      const tally = new Tally();
      for (let round = 0; round < 10; round += 1) {
        const socket = await openWebSocket(world.door, "/ws");
        const downs = Array.from({ length: 15 }, () => download(world.door, `/down?bytes=${BYTES}&pause=60`));
        const events = download(world.door, "/sse?every=50&count=15");
        const up = upload(world.door, "/sink", { chunks: 10, make: (i) => pattern(i * 50_000, 50_000), pauseMs: 60 });
        for (let i = 0; i < 20; i += 1) tally.send(world.door, `${group}-${round}-`, i);
        await tally.settled();
        await pace(250);
        const old = world.relay.program;
        old.kill("SIGTERM");
        await old.event("relay.draining");
        const echoed = once(socket, "message");
        socket.send(`still here ${round}`);
        expect(String((await within("the echo", echoed))[0])).toBe(`still here ${round}`);
        const closed = once(socket, "close");
        socket.close(1_000);
        expect((await within("the close", closed))[0]).toBe(1_000);
        await world.startRelay();
        for (let i = 20; i < 30; i += 1) tally.send(world.door, `${group}-${round}-`, i);
        for (const down of await Promise.all(downs)) {
          expect(down).toEqual({ status: 200, bytes: BYTES, sha256: patternDigest(BYTES) });
        }
        expect((await events).bytes).toBe(
          Array.from({ length: 15 }, (_, i) => `id: ${i}\ndata: event ${i}\n\n`).join("").length,
        );
        expect(JSON.parse((await up).body.toString())).toEqual({ bytes: 500_000, sha256: patternDigest(500_000) });
        await tally.settled();
        expect(tally.counts, `round ${round}: ${tally}`).toEqual({ 200: 30 * (round + 1) });
        expect(await within("the old relay's exit", old.exited, 15_000)).toBe(0);
      }
      expect(tally.wrong, String(tally)).toEqual([]);
      expect(world.app.doubled, String(tally)).toEqual([]);
      expect(world.urls).toEqual([`http://drains${group}.localhost:${world.relay.port}`]);
    },
  );
});

/** POSTs in the short form; the long one asks for ten thousand. */
const POSTS = Number(process.env["GGROK_SOAK_POSTS"] ?? 2_000);

it("no POST arrives twice with a link cut at random moments", { timeout: 60_000 + POSTS * 30 }, async () => {
  await using world = await FaultWorld.start({ name: "once", link: {} });
  const { link } = world;
  if (link === undefined) throw new Error("unreachable");
  const tally = new Tally();
  const seed = randomInt(2 ** 31);
  let nextCut = 50;
  for (let i = 0; i < POSTS; i += 1) {
    tally.send(world.door, "o", i * 2 + 1);
    if (i % 10 === 9) await pace(40);
    if (i < nextCut) continue;
    link.cut(i % 2 === 0 ? "rst" : "fin");
    nextCut = i + 20 + ((Math.imul(seed ^ i, 2_654_435_761) >>> 0) % 80);
  }
  await tally.settled();
  const note = `seed ${seed}; ${link.connections} connections; ${tally}`;
  expect(world.app.doubled, note).toEqual([]);
  expect(tally.wrong, note).toEqual([]);
  expect(tally.of(200) + tally.of(502), note).toBe(POSTS);
  expect(tally.of(200), note).toBeGreaterThan(POSTS / 2);
  expect(world.app.counts.size, note).toBeGreaterThanOrEqual(tally.of(200));
  expect(link.connections, note).toBeGreaterThan(5);
});
