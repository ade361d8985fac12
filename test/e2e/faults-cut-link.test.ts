import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { afterAll, expect, it } from "vitest";
import { FaultApp, pattern, patternDigest } from "../harness/fault-app.ts";
import { FaultProxy } from "../harness/fault-proxy.ts";
import { ask, begin, closeVisitors, doorOf, download, openWebSocket, pace, upload } from "../harness/visitors.ts";
import { Place, RelayProcess } from "./cli-world.ts";

const CUTS = 10;
const CUT_MS = 2_000;
const BETWEEN_MS = 1_500;
const DOWNLOAD_BYTES = 48 * 1024 * 1024;

afterAll(closeVisitors);

it("fails nothing and does nothing twice when the link is cut ten times for 2 s under load", async () => {
  await using app = await FaultApp.start();
  await using relay = await RelayProcess.start();
  await using link = await FaultProxy.start(relay.port);
  await using place = new Place();
  await using agent = place.ggrok([
    "http",
    String(app.port),
    "--relay",
    `http://localhost:${link.port}`,
    "--url",
    `http://heart.localhost:${relay.port}`,
    "--json",
  ]);
  const online = await agent.event("tunnel.online");
  const door = doorOf(String(online["url"]));
  door.port = relay.port;

  let isOver = false;
  const failures: string[] = [];
  let gets = 0;
  let posts = 0;
  const note = (what: string) => (error: unknown) => {
    failures.push(`${what}: ${String(error)}`);
  };
  const pending = new Set<Promise<void>>();
  const launch = (what: string, work: () => Promise<void>): void => {
    const done = work()
      .catch(note(what))
      .finally(() => pending.delete(done));
    pending.add(done);
  };

  // 50 requests a second, every second one a POST with a body of its own.
  const load = (async () => {
    for (let i = 0; !isOver; i += 1) {
      const id = `r${i}`;
      if (i % 2 === 0) {
        gets += 1;
        launch(`GET ${id}`, async () => {
          const answer = await ask(door, `/get/${id}`);
          if (answer.status !== 200 || answer.body.toString() !== id)
            throw new Error(`${answer.status} ${answer.body}`);
        });
      } else {
        posts += 1;
        launch(`POST ${id}`, async () => {
          const body = pattern(i, 3_000);
          const answer = await ask(door, `/post/${id}`, { method: "POST", body });
          if (answer.status !== 200 || !answer.body.equals(body))
            throw new Error(`${answer.status} ${answer.body.length}`);
        });
      }
      await pace(20);
    }
  })();

  const downloads = [0, 1].map(async () => {
    const got = await download(door, `/down?bytes=${DOWNLOAD_BYTES}&pause=40`);
    expect(got).toEqual({ status: 200, bytes: DOWNLOAD_BYTES, sha256: patternDigest(DOWNLOAD_BYTES) });
  });
  const chunks = 700;
  const uploaded = upload(door, "/sink", { chunks, make: (i) => pattern(i * 40_000, 40_000), pauseMs: 40 });

  const socket = await openWebSocket(door, "/ws");
  const echoes: number[] = [];
  let socketClosed: string | undefined;
  socket.on("message", (data) => echoes.push(Number(String(data))));
  socket.on("close", (code) => {
    socketClosed = `closed ${code}`;
  });
  let sequence = 0;
  const talk = (async () => {
    while (!isOver) {
      socket.send(String(sequence));
      sequence += 1;
      await pace(25);
    }
  })();

  const eventCount = 330;
  const call = begin(door, `/sse?every=100&count=${eventCount}`, { own: true });
  call.end();
  const [stream] = (await once(call, "response")) as [IncomingMessage];
  const events = (async () => {
    let text = "";
    for await (const chunk of stream) text += String(chunk);
    return [...text.matchAll(/^id: (\d+)$/gm)].map((match) => Number(match[1]));
  })();

  for (let i = 0; i < CUTS; i += 1) {
    await pace(BETWEEN_MS);
    // Each cut is to hit a link that works, however long the agent took to come back.
    await agent.event("session.online", i + 1);
    await link.cutFor(CUT_MS, i % 2 === 0 ? "rst" : "fin");
  }
  await pace(BETWEEN_MS);
  isOver = true;
  await Promise.all([load, talk]);
  await Promise.all(pending);
  const summary = `${gets} GETs, ${posts} POSTs, ${failures.length} failed; ${agent.stdout.replace(/.*"event":"request".*\n/g, "").slice(-3_000)}`;
  expect(failures, summary).toEqual([]);
  expect(app.doubled, summary).toEqual([]);
  expect(app.counts.size, summary).toBe(gets + posts);
  expect(gets + posts).toBeGreaterThan(500);

  await Promise.all(downloads);
  const answer = await uploaded;
  expect(JSON.parse(answer.body.toString())).toEqual({
    bytes: chunks * 40_000,
    sha256: patternDigest(chunks * 40_000),
  });
  expect(await events).toEqual(Array.from({ length: eventCount }, (_, i) => i));
  expect(socketClosed).toBeUndefined();
  while (echoes.length < sequence) await once(socket, "message");
  expect(echoes).toEqual(Array.from({ length: sequence }, (_, i) => i));
  socket.terminate();

  expect(link.connections).toBe(CUTS + 1);
  expect(
    agent
      .events("session.online")
      .slice(1)
      .every((event) => event["resumed"] === true),
  ).toBe(true);
  expect(new Set(agent.events("tunnel.online").map((event) => event["url"])).size).toBe(1);
}, 120_000);
