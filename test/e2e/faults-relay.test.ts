// The relay dies, drains or stands still, as a process, with agents and visitors on it.
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { Agent, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { forward } from "ggrok";
import { afterAll, describe, expect, it } from "vitest";
import { Changes, pace as paced, within } from "../harness/deadline.ts";
import { patternDigest } from "../harness/fault-app.ts";
import { FaultWorld, Tally } from "../harness/fault-world.ts";
import { ask, begin, closeVisitors, download, openWebSocket, pace } from "../harness/visitors.ts";
import { App, RelayProcess } from "./cli-world.ts";

afterAll(closeVisitors);

describe("a relay killed under load", () => {
  // Four relays side by side, five deaths each: twenty rounds in the time of five.
  it.each([0, 1, 2, 3])(
    "and restarted after 0 to 5 s has its agent back under the same name, group %i",
    { timeout: 90_000, concurrent: true },
    async (group) => {
      await using world = await FaultWorld.start({ name: `kill${group}` });
      const tally = new Tally();
      const load = new AbortController();
      const loaded = paced(20, load.signal, (index) => tally.send(world.door, `g${group}-`, index));
      const backMs: number[] = [];
      for (let round = 0; round < 5; round += 1) {
        await pace(300);
        const seen = world.agent.events("tunnel.online").length;
        world.relay.program.kill("SIGKILL");
        await world.relay.program.exited;
        await pace(((round * 4 + group) * 5_000) / 20);
        await world.startRelay();
        const listeningAt = performance.now();
        await world.agent.event("tunnel.online", seen + 1);
        backMs.push(Math.round(performance.now() - listeningAt));
        expect((await world.ask(`/get/after-${group}-${round}`)).status).toBe(200);
      }
      load.abort();
      await loaded;
      await tally.settled();
      const note = `${tally}; back after ${backMs.join(", ")} ms`;
      expect(tally.wrong, note).toEqual([]);
      expect(tally.of("hung"), note).toBe(0);
      expect(
        Object.keys(tally.counts).filter((key) => !["200", "502", "503", "broken", "refused"].includes(key)),
        note,
      ).toEqual([]);
      expect(
        world.app.doubled.filter((id) => Number(id.split("-")[1]) % 2 === 1),
        note,
      ).toEqual([]);
      // A machine that is busy with other tests may hold up one of them.
      expect(backMs.filter((ms) => ms >= 2_000).length, note).toBeLessThanOrEqual(1);
      expect(Math.max(...backMs), note).toBeLessThan(5_000);
      expect(world.urls).toEqual([`http://kill${group}.localhost:${world.relay.port}`]);
    },
  );

  it("breaks the transfers that were under way, and none looks whole", { timeout: 60_000 }, async () => {
    await using world = await FaultWorld.start({ name: "midway" });
    const transfers = [0, 1, 2, 3].map((i) =>
      download(world.door, `/down?bytes=${10_000_000 + i}&pause=50`).then(
        ({ bytes }) => `whole with ${bytes}`,
        () => "broken",
      ),
    );
    await within(
      "downloads under way",
      once(world.app.server, "request").then(() => pace(500)),
    );
    world.relay.program.kill("SIGKILL");
    expect(await Promise.all(transfers)).toEqual(["broken", "broken", "broken", "broken"]);
    await world.startRelay();
    await world.agent.event("tunnel.online", 2);
    expect(await download(world.door, "/down?bytes=1000000")).toMatchObject({
      bytes: 1_000_000,
      sha256: patternDigest(1_000_000),
    });
  });
});

describe("a relay that drains", () => {
  it("finishes 50 exchanges in flight, moves new ones to the next relay, and exits 0", {
    timeout: 60_000,
  }, async () => {
    await using world = await FaultWorld.start({ name: "drain", relayArgs: ["--grace", "10s"] });
    const slow = Array.from({ length: 50 }, (_, i) => download(world.door, `/down?bytes=${1_300_000 + i}&pause=100`));
    const tally = new Tally();
    await pace(500);
    const old = world.relay.program;
    old.kill("SIGTERM");
    await old.event("relay.draining");
    await world.startRelay();
    for (let i = 0; i < 50; i += 1) tally.send(world.door, "moved-", i);
    await tally.settled();
    const results = await Promise.all(slow);
    expect(results.map(({ bytes }) => bytes)).toEqual(slow.map((_, i) => 1_300_000 + i));
    expect(results.every(({ sha256 }, i) => sha256 === patternDigest(1_300_000 + i))).toBe(true);
    expect(tally.counts, String(tally)).toEqual({ 200: 50 });
    expect(await within("the old relay's exit", old.exited, 15_000)).toBe(0);
    expect(world.urls).toHaveLength(1);
    expect(world.agent.events("session.online")).toHaveLength(2);
  });

  it("ends what does not end by itself at the end of its grace time, visibly, and exits 0", {
    timeout: 60_000,
  }, async () => {
    await using world = await FaultWorld.start({ name: "grace", relayArgs: ["--grace", "2s"] });
    const call = begin(world.door, "/sse?every=50&count=10000", { own: true });
    call.end();
    const [stream] = (await once(call, "response")) as [IncomingMessage];
    const ended = new Promise<string>((resolve) => {
      stream.on("error", () => resolve("broken"));
      stream.on("end", () => resolve("whole"));
      stream.resume();
    });
    const socket = await openWebSocket(world.door, "/ws");
    const closed = once(socket, "close");
    const killedAt = performance.now();
    world.relay.program.kill("SIGTERM");
    await world.relay.program.event("relay.draining");
    await expect(ask(world.door, "/get/late", { headers: { connection: "close" } })).rejects.toThrow(
      // What still stands in the kernel's queue when the port closes is reset instead.
      /ECONNREFUSED|ECONNRESET/u,
    );
    expect(await within("the exit", world.relay.program.exited)).toBe(0);
    const tookMs = performance.now() - killedAt;
    expect(tookMs).toBeGreaterThan(1_500);
    expect(tookMs).toBeLessThan(5_000);
    expect(await ended).toBe("broken");
    expect((await closed)[0]).toBe(1_006);
  });

  it("serves what was sent in the moment of the signal", async () => {
    await using world = await FaultWorld.start({ name: "moment" });
    const sent = await Promise.all(
      Array.from({ length: 30 }, async (_, i) => {
        const socket = connect(world.door.port, "127.0.0.1");
        const head = `GET /get/m${i} HTTP/1.1\r\nHost: ${world.door.host}\r\nConnection: close\r\n\r\n`;
        await new Promise<void>((resolve) => socket.write(head, () => resolve()));
        return socket;
      }),
    );
    world.relay.program.kill("SIGTERM");
    const answers = await Promise.all(sent.map(async (socket) => Buffer.concat(await socket.toArray()).toString()));
    expect(answers.map((answer) => answer.split("\r\n")[0])).toEqual(sent.map(() => "HTTP/1.1 200 OK"));
    expect(await within("the exit", world.relay.program.exited)).toBe(0);
  });

  it("ends a connection behind the answer that was under way", async () => {
    await using world = await FaultWorld.start({ name: "behind", relayArgs: ["--grace", "60s"] });
    const kept = new Agent({ keepAlive: true, maxSockets: 1 });
    const events = download(world.door, "/sse?every=100&count=1000").catch(() => "broken");
    const call = begin(world.door, "/down?bytes=100000&pause=200", { agent: kept });
    call.end();
    const [response] = (await once(call, "response")) as [IncomingMessage];
    const closed = once(response.socket, "close");
    world.relay.program.kill("SIGTERM");
    expect(response.headers.connection).toBe("keep-alive");
    expect((await response.toArray()).reduce((sum, chunk: Buffer) => sum + chunk.length, 0)).toBe(100_000);
    await within("the end of the connection", closed);
    expect(world.relay.program.child.exitCode).toBeNull();
    world.relay.program.kill("SIGTERM");
    await events;
  });

  it("answers a visitor who had connected and asks late", async () => {
    await using world = await FaultWorld.start({ name: "late", relayArgs: ["--grace", "60s"] });
    const kept = new Agent({ keepAlive: true, maxSockets: 1 });
    // Keeps the relay draining.
    const events = download(world.door, "/sse?every=100&count=1000").catch(() => "broken");
    const asked = begin(world.door, "/get/before", { agent: kept });
    asked.end();
    const [response] = (await once(asked, "response")) as [IncomingMessage];
    const closed = once(response.socket, "close");
    await response.toArray();
    const late = connect(world.door.port, "127.0.0.1");
    await once(late, "connect");
    world.relay.program.kill("SIGTERM");
    // The idle connection goes at the moment at which the other one must not.
    await within("the end of the kept connection", closed);
    late.write(`GET /get/late HTTP/1.1\r\nHost: ${world.door.host}\r\n\r\n`);
    const answer = Buffer.concat(await late.toArray()).toString();
    expect(answer).toMatch(/^HTTP\/1\.1 503 /);
    expect(answer).toContain("ERR_GGROK_RELAY_DRAINING");
    world.relay.program.kill("SIGTERM");
    await events;
  });

  it("cuts no slow visitor short", async () => {
    await using world = await FaultWorld.start({ name: "slowly" });
    const calls = Array.from({ length: 40 }, (_, i) => begin(world.door, `/down?bytes=${(i + 1) * 200_000}`));
    const responses = calls.map(async (call) => {
      call.end();
      return ((await once(call, "response")) as [IncomingMessage])[0];
    });
    const waiting = await Promise.all(responses);
    await pace(300);
    world.relay.program.kill("SIGTERM");
    await world.relay.program.event("relay.draining");
    await pace(500);
    const read = waiting.map(async (response) =>
      (await response.toArray()).reduce((sum, chunk: Buffer) => sum + chunk.length, 0),
    );
    expect(await Promise.all(read)).toEqual(calls.map((_, i) => (i + 1) * 200_000));
    expect(await within("the exit", world.relay.program.exited)).toBe(0);
  });

  it("is gone at once when idle", async () => {
    await using world = await FaultWorld.start({ name: "idle", relayArgs: ["--grace", "60s"] });
    world.relay.program.kill("SIGTERM");
    expect(await within("the exit", world.relay.program.exited)).toBe(0);
  });

  it("is gone at once at the second signal", async () => {
    await using world = await FaultWorld.start({ name: "twice" });
    const waiting = download(world.door, "/sse?every=100&count=1000").catch(() => "broken");
    await within("the stream", once(world.app.server, "request"));
    world.relay.program.kill("SIGTERM");
    await world.relay.program.event("relay.draining");
    world.relay.program.kill("SIGTERM");
    expect(await within("the exit", world.relay.program.exited, 2_000)).toBe(1);
    expect(await waiting).toBe("broken");
  });
});

describe("many agents", () => {
  it("that lose the relay at once are back within 10 s of its return: 190 of 200 at least", {
    timeout: 90_000,
  }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "ggrok-many-"));
    const before = { ...process.env };
    process.env["XDG_STATE_HOME"] = join(folder, "state");
    process.env["XDG_CONFIG_HOME"] = join(folder, "config");
    await using app = await App.start((_request, response) => response.end("here"));
    let relay = await RelayProcess.start();
    const { port } = relay;
    const changes = new Changes();
    let isBack = false;
    const back = new Set<number>();
    const agents = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        const agent = await forward({
          addr: app.port,
          relay: relay.origin,
          url: `many${i}`,
          folder: join(folder, String(i)),
        });
        agent.on("tunnel.online", () => {
          if (isBack) back.add(i);
          changes.notify();
        });
        return agent;
      }),
    );
    try {
      isBack = true;
      relay.program.kill("SIGKILL");
      await relay.program.exited;
      await pace(2_000);
      relay = await RelayProcess.start(undefined, port);
      const startedAt = performance.now();
      await changes.until(
        () => `190 agents; ${back.size} are back`,
        () => back.size >= 190,
        10_000,
      );
      const tookMs = Math.round(performance.now() - startedAt);
      await changes.until(
        () => `200 agents; ${back.size} are back, 190 after ${tookMs} ms`,
        () => back.size === 200,
        30_000,
      );
      const answers = await Promise.all(agents.map((_, i) => ask({ port, host: `many${i}.localhost:${port}` }, "/")));
      expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
    } finally {
      await Promise.all(agents.map((agent) => agent.close()));
      await relay[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
      process.env = before;
    }
  });

  it("are not dropped by a relay that stood still for 20 s", { timeout: 90_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "ggrok-still-"));
    const before = { ...process.env };
    process.env["XDG_STATE_HOME"] = join(folder, "state");
    process.env["XDG_CONFIG_HOME"] = join(folder, "config");
    await using app = await App.start((_request, response) => response.end("here"));
    await using relay = await RelayProcess.start();
    const agents = await Promise.all(
      Array.from({ length: 200 }, (_, i) =>
        forward({ addr: app.port, relay: relay.origin, url: `still${i}`, folder: join(folder, String(i)) }),
      ),
    );
    try {
      relay.program.kill("SIGSTOP");
      const pending = ask({ port: relay.port, host: `still0.localhost:${relay.port}` }, "/", { timeoutMs: 60_000 });
      await pace(20_000);
      relay.program.kill("SIGCONT");
      expect((await pending).status).toBe(200);
      const answers = await Promise.all(
        agents.map((_, i) => ask({ port: relay.port, host: `still${i}.localhost:${relay.port}` }, "/")),
      );
      expect(answers.map(({ status }) => status).filter((status) => status !== 200)).toEqual([]);
      expect(relay.program.events("endpoint.released"), "names given up").toEqual([]);
      const heartbeatLosses = relay.program
        .events("session.lost")
        .filter((event) => JSON.stringify(event).includes("heartbeat"));
      expect(heartbeatLosses, "sessions judged silent").toEqual([]);
    } finally {
      relay.program.kill("SIGCONT");
      await Promise.all(agents.map((agent) => agent.close()));
      rmSync(folder, { recursive: true, force: true });
      process.env = before;
    }
  });
});
