// The app behind the tunnel goes away, refuses, says nothing, or dies in the middle.
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer, type Socket } from "node:net";
import { afterAll, describe, expect, it } from "vitest";
import { pace as paced } from "../harness/deadline.ts";
import { FaultApp } from "../harness/fault-app.ts";
import { FaultWorld, Tally } from "../harness/fault-world.ts";
import { RawOrigin } from "../harness/raw-origin.ts";
import { ask, closeVisitors, doorOf, download, pace } from "../harness/visitors.ts";
import { freePort, Place, type Program, RelayProcess } from "./cli-world.ts";

afterAll(closeVisitors);

/** A relay and an agent in front of a port, whoever listens there. */
async function inFrontOf(
  port: number,
  args: string[] = [],
): Promise<{ door: ReturnType<typeof doorOf>; agent: Program } & AsyncDisposable> {
  const relay = await RelayProcess.start();
  const place = new Place();
  const agent = place.ggrok(["http", String(port), "--relay", relay.origin, "--url", "app", "--json", ...args]);
  const { url } = await agent.event("tunnel.online");
  return {
    door: doorOf(String(url)),
    agent,
    async [Symbol.asyncDispose]() {
      for (const part of [agent, relay, place]) await part[Symbol.asyncDispose]();
    },
  };
}

it("restarted under load costs 502s at once and never a second POST, and works as soon as it is back", {
  timeout: 60_000,
}, async () => {
  const port = await freePort();
  let app = await FaultApp.start(port);
  await using tunnel = await inFrontOf(port);
  const tally = new Tally();
  const apps = [app];
  const load = new AbortController();
  const loaded = paced(50, load.signal, (index) => tally.send(tunnel.door, "r", index));
  for (let round = 0; round < 5; round += 1) {
    await pace(700);
    await app[Symbol.asyncDispose]();
    await pace(300);
    app = await FaultApp.start(port);
    apps.push(app);
    expect((await ask(tunnel.door, `/get/back${round}`)).status).toBe(200);
  }
  load.abort();
  await loaded;
  await tally.settled();
  await app[Symbol.asyncDispose]();
  const note = String(tally);
  expect(tally.wrong, note).toEqual([]);
  expect(
    Object.keys(tally.counts).filter((key) => !["200", "502", "broken"].includes(key)),
    note,
  ).toEqual([]);
  const posts = new Map<string, number>();
  for (const { counts } of apps) {
    for (const [id, count] of counts) if (Number(id.slice(1)) % 2 === 1) posts.set(id, (posts.get(id) ?? 0) + count);
  }
  expect(
    [...posts].filter(([, count]) => count > 1),
    note,
  ).toEqual([]);
  expect(tally.of(200), note).toBeGreaterThan(tally.sent / 3);
  expect(tally.of(502), note).toBeGreaterThan(0);
});

describe("an app that", () => {
  it("refuses costs 502 at once", async () => {
    await using tunnel = await inFrontOf(await freePort());
    const startedAt = performance.now();
    const answers = await Promise.all(
      ["GET", "POST", "PUT", "DELETE"].map((method) =>
        ask(tunnel.door, "/", method.startsWith("P") ? { method, body: "x" } : { method }),
      ),
    );
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    for (const { status, headers } of answers) {
      expect([status, headers["ggrok-error"]]).toEqual([502, "ERR_GGROK_UPSTREAM_REFUSED"]);
    }
  });

  it("says nothing costs 504 after --timeout, and nothing without it", { timeout: 30_000 }, async () => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => {
      sockets.push(socket);
      socket.on("error", () => {});
      socket.resume();
    });
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
    const { port } = silent.address() as AddressInfo;
    await using tunnel = await inFrontOf(port, ["--timeout", "1s"]);
    await using patient = await inFrontOf(port);
    let isAnswered = false;
    const waiting = ask(patient.door, "/").then(
      () => {
        isAnswered = true;
      },
      () => {},
    );
    const startedAt = performance.now();
    const answers = await Promise.all([
      ask(tunnel.door, "/"),
      ask(tunnel.door, "/", { method: "POST", body: "x".repeat(100_000) }),
    ]);
    const tookMs = performance.now() - startedAt;
    for (const { status, headers } of answers) {
      expect([status, headers["ggrok-error"]]).toEqual([504, "ERR_GGROK_UPSTREAM_TIMEOUT"]);
    }
    expect(tookMs).toBeGreaterThan(900);
    expect(tookMs).toBeLessThan(4_000);
    await pace(1_000);
    expect(isAnswered).toBe(false);
    silent.close();
    for (const socket of sockets) socket.destroy();
    await waiting;
  });

  it("dies mid-body breaks the visitor's transfer, every time", { timeout: 30_000 }, async () => {
    await using world = await FaultWorld.start({ name: "dies" });
    for (const after of [1, 1_000, 100_000, 3_000_000]) {
      const results = await Promise.all(
        Array.from({ length: 5 }, () =>
          download(world.door, `/die?after=${after}`).then(
            ({ bytes }) => `whole with ${bytes} bytes`,
            () => "broken",
          ),
        ),
      );
      expect(new Set(results)).toEqual(new Set(["broken"]));
    }
    expect((await world.ask("/get/next")).status).toBe(200);
  });

  it("closes kept connections at the moment of reuse sees no POST twice, and costs no GET", {
    timeout: 30_000,
  }, async () => {
    await using origin = await RawOrigin.start();
    const posts = new Map<string, number>();
    // Answers one request, announces that the connection is kept, and closes it when the next one comes.
    origin.script = async (connection, head) => {
      const body = await connection.reader.body(head, "request");
      const [method, target = ""] = head.startLine.split(" ");
      if (method === "POST") posts.set(target, (posts.get(target) ?? 0) + 1);
      connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.bytes.length}\r\n\r\n${body.bytes.toString()}`);
      // The close and the next request cross on the wire.
      setImmediate(() => connection.socket.destroy());
    };
    await using tunnel = await inFrontOf(origin.port);
    const statuses: Record<string, number> = {};
    for (let i = 0; i < 150; i += 1) {
      const method = i % 2 === 0 ? "GET" : "POST";
      const { status } = await ask(tunnel.door, `/${i}`, method === "GET" ? {} : { method, body: `body ${i}` });
      const key = `${method} ${status}`;
      statuses[key] = (statuses[key] ?? 0) + 1;
    }
    const note = JSON.stringify(statuses);
    expect(statuses["GET 200"], note).toBe(75);
    expect(
      [...posts].filter(([, count]) => count > 1),
      note,
    ).toEqual([]);
    expect(
      Object.keys(statuses).filter((key) => !["GET 200", "POST 200", "POST 502"].includes(key)),
      note,
    ).toEqual([]);
  });
});
