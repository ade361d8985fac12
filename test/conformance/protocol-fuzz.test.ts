// A hundred thousand frames, mostly good, some changed, at each end.
import { randomInt } from "node:crypto";
import { createMemoryLink, FrameType, type MuxStream, Session, type SessionHandler } from "@ggrok/protocol";
import { afterAll, describe, expect, it } from "vitest";
import { Place, type Program } from "../e2e/cli-world.ts";
import { RawAgent } from "../e2e/raw-agent.ts";
import { FaultApp } from "../harness/fault-app.ts";
import { FaultWorld, rssMiB } from "../harness/fault-world.ts";
import { FrameFuzz, seededRandom } from "../harness/frame-fuzz.ts";
import { frameOf, HostileRelay } from "../harness/hostile-relay.ts";
import { ask, closeVisitors } from "../harness/visitors.ts";

const FRAMES = Number(process.env["GGROK_FUZZ_FRAMES"] ?? 100_000);

afterAll(closeVisitors);

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** One session in memory until the frames end it; what its owner hears is answered as an owner would. */
async function attack(
  side: "listener" | "dialler",
  random: () => number,
  limit: number,
): Promise<{ frames: number; isClosed: boolean }> {
  const fuzz = new FrameFuzz({ random, player: side === "listener" ? "agent" : "relay", mutation: 0.01 });
  let isClosed = false;
  const answer = (stream: MuxStream): void => {
    stream.handler = {
      onData: () => true,
      onTrailers() {},
      onReset() {},
      onDrain() {},
    };
    stream.sendHead({ status: 200, reason: "", fields: [] });
    stream.end(Buffer.from("answer"));
  };
  const handler: SessionHandler = {
    onStream: answer,
    onControl() {},
    onState() {},
    onClosed() {
      isClosed = true;
    },
  };
  const session = new Session({
    side,
    id: "fuzzed",
    resumable: false,
    localWindow: 65_536,
    peerWindow: 65_536,
    peerMaxStreams: side === "listener" ? 1_000 : 0,
    localMaxStreams: side === "listener" ? 0 : 1_000,
    heartbeat: { intervalMs: 60_000, timeoutMs: 120_000 },
    handler,
  });
  const [ours, theirs] = createMemoryLink();
  session.attach(ours);
  if (side === "listener") {
    for (let i = 0; i < 20; i += 1) {
      const stream = session.open(
        { kind: "http", bind: 1, requestId: `r${i}`, method: "GET", target: "/", version: "1.1", fields: [] },
        { onHead() {}, onData: () => true, onTrailers() {}, onReset() {}, onDrain() {} },
        { fin: i % 2 === 0 },
      );
      fuzz.streams.push(stream.id);
    }
  }
  let frames = 0;
  while (!isClosed && frames < limit) {
    const message = fuzz.message();
    frames += message.frames;
    theirs.send(message.bytes);
    if (frames % 64 < 8) await turn();
  }
  for (let i = 0; i < 5; i += 1) await turn();
  const wasClosed = isClosed;
  ours.cut();
  for (let i = 0; i < 3; i += 1) await turn();
  return { frames, isClosed: wasClosed };
}

describe.each(["listener", "dialler"] as const)("the %s's session", (side) => {
  it(`ends at what is wrong, takes what is right, and never throws, over ${FRAMES} frames`, {
    timeout: 300_000,
  }, async () => {
    const seed = randomInt(2 ** 31);
    const random = seededRandom(seed);
    const heap = (): number => process.memoryUsage().heapUsed / 1_048_576;
    const before = heap();
    let frames = 0;
    let sessions = 0;
    let ended = 0;
    try {
      while (frames < FRAMES) {
        const result = await attack(side, random, 5_000);
        frames += result.frames;
        sessions += 1;
        if (result.isClosed) ended += 1;
      }
    } catch (error) {
      throw new Error(`seed ${seed}, session ${sessions}`, { cause: error });
    }
    globalThis.gc?.();
    const note = `seed ${seed}: ${frames} frames, ${sessions} sessions, ${ended} ended`;
    expect(ended, note).toBeGreaterThan(sessions / 2);
    expect(heap() - before, `MiB of heap grown; ${note}`).toBeLessThan(100);
  });
});

it("a relay of real sockets survives thousands of broken frames, and other sessions notice nothing", {
  timeout: 120_000,
}, async () => {
  const seed = randomInt(2 ** 31);
  const random = seededRandom(seed);
  await using world = await FaultWorld.start({ name: "good" });
  const { relay } = world;
  let before = 0;
  let frames = 0;
  let slowestMs = 0;
  for (let round = 0; round < 150; round += 1) {
    // What the first rounds take is the warm-up of the process.
    if (round === 30) before = rssMiB(relay.program.child.pid);
    const [agent] = await RawAgent.online(relay.origin, {
      agentId: `fuzz-agent-${round}`,
      instance: `fuzz-instance-${round}`,
    });
    await agent.bind({ url: `fuzz${round}` });
    const fuzz = new FrameFuzz({ random, player: "agent", mutation: 0.01 });
    const visits = [0, 1, 2].map(() =>
      ask({ port: relay.port, host: `fuzz${round}.localhost:${relay.port}` }, "/", {
        headers: { connection: "close" },
      }).then(
        ({ status }) => status,
        () => 0,
      ),
    );
    for (let i = 0; i < 3; i += 1) fuzz.streams.push((await agent.opened()).id);
    for (let sent = 0; sent < 700 && agent.ws.readyState === agent.ws.OPEN; ) {
      const message = fuzz.message();
      sent += message.frames;
      frames += message.frames;
      agent.ws.send(message.bytes);
      if (sent % 32 < 8) await turn();
    }
    const startedAt = performance.now();
    expect((await world.ask("/")).status, `seed ${seed}, round ${round}`).toBe(200);
    slowestMs = Math.max(slowestMs, performance.now() - startedAt);
    // Ends the fuzzed session for good whatever it survived, and with it its visitors.
    agent.ws.send(Buffer.alloc(3));
    await agent.closed;
    agent.terminate();
    void visits;
  }
  const note = `seed ${seed}: ${frames} frames`;
  expect(relay.program.child.exitCode, `${note}\n${relay.program.stderr}`).toBeNull();
  expect(rssMiB(relay.program.child.pid) - before, `MiB grown; ${note}`).toBeLessThan(64);
  expect(slowestMs, `ms of the slowest good request; ${note}`).toBeLessThan(1_000);
  expect(world.agent.events("session.online"), note).toHaveLength(1);
});

it("agents of real sockets survive thousands of broken frames and come back", { timeout: 120_000 }, async () => {
  const seed = randomInt(2 ** 31);
  const random = seededRandom(seed);
  await using app = await FaultApp.start();
  await using relay = await HostileRelay.start();
  const places: Place[] = [];
  const agents: Program[] = [];
  try {
    for (let i = 0; i < 4; i += 1) {
      const place = new Place();
      places.push(place);
      agents.push(
        place.ggrok([
          "http",
          String(app.port),
          "--relay",
          `http://localhost:${relay.port}`,
          "--log-level",
          "error",
          "--json",
        ]),
      );
    }
    let frames = 0;
    const before: number[] = [];
    for (let round = 0; round < 40; round += 1) {
      if (round === 12) before.push(...agents.map(({ child }) => rssMiB(child.pid)));
      const link = await relay.link(round);
      await link.welcome();
      const fuzz = new FrameFuzz({ random, player: "relay", mutation: 0.01 });
      for (let sent = 0; sent < 1_000 && !link.isClosed; ) {
        const message = fuzz.message();
        sent += message.frames;
        frames += message.frames;
        link.send(message.bytes);
        if (sent % 32 < 8) await turn();
      }
      link.send(frameOf(99, 0, 0, Buffer.alloc(0)));
      await link.closed();
    }
    const note = `seed ${seed}: ${frames} frames`;
    const last = await relay.link(relay.links.length);
    await last.welcome();
    const id = last.open("/get/last");
    await last.changes.until("the answer", () =>
      last.frames.some(({ type, stream }) => type === FrameType.Head && stream === id),
    );
    for (const [i, agent] of agents.entries()) {
      expect(agent.child.exitCode, `${note}\n${agent.stderr}`).toBeNull();
      expect(rssMiB(agent.child.pid) - (before[i] ?? 0), `MiB grown; ${note}`).toBeLessThan(64);
    }
  } finally {
    for (const part of [...agents, ...places]) await part[Symbol.asyncDispose]();
  }
});
