// A relay that runs out of files or of memory.
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterAll, expect, it } from "vitest";
import { eventually } from "../harness/deadline.ts";
import { FaultWorld, rssMiB } from "../harness/fault-world.ts";
import { ask, closeVisitors, pace } from "../harness/visitors.ts";

afterAll(closeVisitors);

/** A connection that may be refused. */
function open(port: number): Socket {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  return socket;
}

it("with 256 files and 400 connections it refuses new ones, lives, and is back 5 s after they leave", {
  timeout: 60_000,
}, async () => {
  await using world = await FaultWorld.start({ name: "files" });
  execFileSync("prlimit", [`--pid=${world.relay.program.child.pid}`, "--nofile=256:256"]);
  const sockets = Array.from({ length: 400 }, () => open(world.relay.port));
  await Promise.all(
    sockets.map((socket) => Promise.race([once(socket, "connect").catch(() => {}), once(socket, "close")])),
  );
  for (const [i, socket] of sockets.entries()) {
    if (i % 2 === 0) socket.write(`GET /hang HTTP/1.1\r\nHost: ${world.door.host}\r\n\r\n`);
  }
  await pace(1_000);
  expect(world.relay.program.child.exitCode).toBeNull();
  expect(world.agent.child.exitCode).toBeNull();
  for (const socket of sockets) socket.destroy();
  const leftAt = performance.now();
  let last = "";
  for (;;) {
    last = await ask(world.door, "/get/back", { headers: { connection: "close" }, timeoutMs: 2_000 }).then(
      ({ status }) => String(status),
      (error: unknown) => String(error),
    );
    if (last === "200" || performance.now() - leftAt > 6_000) break;
    await pace(100);
  }
  expect(last, `after ${Math.round(performance.now() - leftAt)} ms`).toBe("200");
  expect(performance.now() - leftAt).toBeLessThan(5_000);
  expect(world.urls).toHaveLength(1);
});

it("with 128 MiB of heap and 200 readers of 50 MB who hardly read, it lives below 300 MB", {
  timeout: 90_000,
}, async () => {
  const before = process.env["NODE_OPTIONS"];
  process.env["NODE_OPTIONS"] = "--max-old-space-size=128";
  const starting = FaultWorld.start({ name: "memory" });
  await using world = await starting.finally(() => {
    if (before === undefined) delete process.env["NODE_OPTIONS"];
    else process.env["NODE_OPTIONS"] = before;
  });
  const { pid } = world.relay.program.child;
  let got = 0;
  const sockets = Array.from({ length: 200 }, () => {
    const socket = open(world.relay.port);
    socket.write(`GET /down?bytes=50000000&pause=100 HTTP/1.1\r\nHost: ${world.door.host}\r\n\r\n`);
    socket.pause();
    return socket;
  });
  // Each reads one piece a second: slow, not gone.
  const reading = setInterval(() => {
    for (const socket of sockets) got += (socket.read() as Buffer | null)?.length ?? 0;
  }, 1_000);
  let peak = 0;
  const watching = setInterval(() => {
    peak = Math.max(peak, rssMiB(pid));
  }, 100);
  const times: number[] = [];
  const statuses: Record<number, number> = {};
  try {
    for (let i = 0; i < 30; i += 1) {
      const startedAt = performance.now();
      const { status } = await ask(world.door, `/get/beside${i}`, { timeoutMs: 20_000 });
      statuses[status] = (statuses[status] ?? 0) + 1;
      times.push(Math.round(performance.now() - startedAt));
      await pace(400);
    }
  } finally {
    clearInterval(reading);
    clearInterval(watching);
  }
  const note = `peak ${Math.round(peak)} MiB, readers got ${Math.round(got / 1_048_576)} MiB, good requests ${JSON.stringify(statuses)}, ${times.join(", ")} ms`;
  expect(world.relay.program.child.exitCode, `${note}\n${world.relay.program.stderr}`).toBeNull();
  expect(world.agent.child.exitCode, `${note}\n${world.agent.stderr}`).toBeNull();
  expect(peak, note).toBeLessThan(286);
  expect(statuses, note).toEqual({ 200: 30 });
  // A deadline, not a measurement: a request that waits for stalled readers to be reset takes more than five seconds.
  expect(Math.max(...times), note).toBeLessThan(5_000);
  for (const socket of sockets) socket.destroy();
  await eventually(
    () => `the app to be free; ${world.app.active} active`,
    () => world.app.active === 0,
  );
  expect((await world.ask("/get/after")).status).toBe(200);
});
