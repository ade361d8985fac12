// A relay with a database is replaced on its port while fifty exchanges are under way; both processes have the database open.
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { afterAll, expect, it } from "vitest";
import { within } from "../harness/deadline.ts";
import { pattern, patternDigest } from "../harness/fault-app.ts";
import { FaultWorld, Tally } from "../harness/fault-world.ts";
import { begin, closeVisitors, download, openWebSocket, pace, upload } from "../harness/visitors.ts";
import { Place, Program } from "./cli-world.ts";

afterAll(closeVisitors);

const BYTES = 600_000;
const GRACE_MS = 8_000;

/** A token of the database, as the operator makes it. */
async function createToken(dataDir: string, name: string): Promise<string> {
  await using made = Program.relay(["token", "create", name, "--data-dir", dataDir], process.env);
  expect(await made.exited, made.stderr).toBe(0);
  return made.stdout.trim();
}

/** Resolves when the transfer has ended, however it did; counts the events until then. */
async function listen(world: FaultWorld): Promise<{ ended: Promise<void>; events(): number }> {
  const call = begin(world.door, "/sse?every=50&count=100000", { own: true });
  call.end();
  const [response] = (await once(call, "response")) as [IncomingMessage];
  let count = 0;
  response.on("data", (chunk: Buffer) => {
    count += String(chunk).split("data:").length - 1;
  });
  const ended = new Promise<void>((resolve) => {
    response.on("error", () => resolve()).on("close", () => resolve());
  });
  return { ended, events: () => count };
}

it("a relay with a database hands its port over with fifty exchanges under way", { timeout: 90_000 }, async () => {
  await using data = new Place();
  const dataDir = data.folder;
  const token = await createToken(dataDir, "laptop");
  const other = await createToken(dataDir, "somebody-else");
  await using world = await FaultWorld.start({
    name: "kept",
    relayArgs: ["--grace", `${GRACE_MS}ms`, "--hold", "15s", "--data-dir", dataDir],
    env: { GGROK_AUTHTOKEN: token },
  });
  const tally = new Tally();
  const { door } = world;
  const downs = Array.from({ length: 15 }, () => download(door, `/down?bytes=${BYTES}&pause=80`));
  const ups = Array.from({ length: 10 }, () =>
    upload(door, "/sink", { chunks: 10, make: (i) => pattern(i * 50_000, 50_000), pauseMs: 80 }),
  );
  const streams = await Promise.all(Array.from({ length: 8 }, () => listen(world)));
  const sockets = await Promise.all(Array.from({ length: 7 }, () => openWebSocket(door, "/ws")));
  const closes = sockets.map((socket) => once(socket, "close"));
  for (let i = 0; i < 10; i += 1) tally.send(door, "before-", i);
  await pace(200);
  const old = world.relay.program;
  old.kill("SIGTERM");
  const [draining] = await Promise.all([old.event("relay.draining")]);
  expect(Number(draining["exchanges"])).toBeGreaterThanOrEqual(40);
  const startedAt = performance.now();
  await world.startRelay();
  // Both have the database now, and short requests go on without a gap.
  for (let i = 0; i < 40; i += 1) {
    tally.send(door, "after-", i);
    await pace(20);
  }
  for (const down of await Promise.all(downs))
    expect(down).toEqual({ status: 200, bytes: BYTES, sha256: patternDigest(BYTES) });
  for (const { body } of await Promise.all(ups))
    expect(JSON.parse(body.toString())).toEqual({ bytes: 500_000, sha256: patternDigest(500_000) });
  await tally.settled();
  expect(tally.counts, String(tally)).toEqual({ 200: 50 });
  expect(tally.wrong).toEqual([]);
  expect(world.app.doubled).toEqual([]);

  // What has no end of its own is still there, and ends when the grace does.
  expect(old.child.exitCode).toBeNull();
  const counts = streams.map(({ events }) => events());
  await pace(300);
  for (const [index, { events }] of streams.entries()) expect(events()).toBeGreaterThan(counts[index] ?? 0);
  for (const socket of sockets) {
    const echoed = once(socket, "message");
    socket.send("still here");
    expect(String((await within("the echo", echoed))[0])).toBe("still here");
  }
  const ends: Promise<unknown>[] = [...streams.map(({ ended }) => ended), ...closes];
  for (const end of ends) await within("the end of the grace", end, 30_000);
  expect(await within("the old relay's exit", old.exited, 30_000)).toBe(0);
  expect(performance.now() - startedAt).toBeGreaterThan(GRACE_MS / 2);

  // The name belongs to its owner in the database, which neither process has spoilt for the other.
  await using stranger = data.ggrok([
    "http",
    String(world.app.port),
    "--relay",
    world.relay.origin,
    "--url",
    "kept",
    "--authtoken",
    other,
  ]);
  expect(await stranger.exited).toBe(5);
  expect((await world.ask("/get/last")).body.toString()).toBe("last");
  const late = await createToken(dataDir, "late");
  await using guest = data.ggrok([
    "http",
    String(world.app.port),
    "--relay",
    world.relay.origin,
    "--url",
    "guest",
    "--authtoken",
    late,
  ]);
  expect(await guest.line()).toContain("guest.localhost");
});
