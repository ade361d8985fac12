// Visitors who hold on to what they get: others are served all the same.
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { eventually, within } from "../harness/deadline.ts";
import type { RawClient } from "../harness/raw-client.ts";
import { startWorld, type World } from "../harness/world.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const MIB = 1_048_576;

let world: World;
const held: RawClient[] = [];
beforeAll(async () => {
  world = await startWorld();
});
afterEach(async () => {
  for (const visitor of held.splice(0)) visitor.reset();
  for (const { socket } of world.origin.connections) socket.destroy();
  world.origin.script = undefined;
  world.origin.answer = OK;
  await world.expectGood();
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

async function hold(count: number, first: string): Promise<RawClient[]> {
  const visitors = await Promise.all(Array.from({ length: count }, () => world.visit(first)));
  held.push(...visitors);
  return visitors;
}

/** A good request is to be answered within a second; the deadline has room for a busy machine. */
async function expectServed(): Promise<void> {
  for (let i = 0; i < 5; i += 1) await within("a good request", world.expectGood(), 3_000);
}

it("200 heads that never end", async () => {
  await hold(200, `GET / HTTP/1.1\r\nHost: ${world.host}\r\nX-A: b`);
  await expectServed();
});

it("100 bodies that never end", async () => {
  const before = world.origin.connections.length;
  world.origin.script = async (connection, head) => {
    await connection.reader.body(head, "request", 60_000);
    connection.write(OK);
  };
  await hold(50, `${world.head("POST / HTTP/1.1", "Content-Length: 1000000")}part`);
  await hold(50, `${world.head("POST / HTTP/1.1", "Transfer-Encoding: chunked")}4\r\npart\r\n`);
  await eventually(
    () => `${world.origin.connections.length - before} uploads at the app`,
    () => world.origin.connections.length - before >= 90,
  );
  await expectServed();
});

it("500 connections that say nothing, and 100 that said something once", async () => {
  await hold(500, "");
  const visitors = await hold(100, world.head("GET / HTTP/1.1"));
  expect((await Promise.all(visitors.map((visitor) => visitor.answer()))).every((it) => it?.status === 200)).toBe(true);
  await expectServed();
});

it("30 downloads that nobody reads", async () => {
  const part = Buffer.alloc(MIB, 0x61);
  let sent = 0;
  world.origin.script = async (connection) => {
    connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${100 * MIB}\r\n\r\n`);
    for (let i = 0; i < 100 && !connection.socket.destroyed; i += 1) {
      sent += part.length;
      if (connection.socket.write(part)) continue;
      await new Promise<void>((resolve) => {
        connection.socket.once("drain", resolve).once("close", resolve);
      });
      connection.socket.removeAllListeners("drain");
    }
  };
  const visitors = await hold(30, "");
  const rss = process.memoryUsage.rss();
  for (const visitor of visitors) {
    visitor.socket.pause();
    visitor.send(world.head("GET / HTTP/1.1"));
  }
  await eventually(
    () => `${sent} bytes to be written`,
    () => sent >= 30 * MIB,
  );
  await expectServed();
  expect((process.memoryUsage.rss() - rss) / MIB, "MiB held").toBeLessThan(400);
});

it("one stream that stands still does not hold 99 others up", async () => {
  const size = 256 * 1_024;
  const body = "x".repeat(size);
  const huge = 100 * MIB;
  world.origin.script = (connection, head) => {
    if (head.startLine.includes("/stalled")) {
      connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${huge}\r\n\r\n${"y".repeat(8 * MIB)}`);
    } else connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n${body}`);
  };
  const [stalled] = await hold(1, world.head("GET /stalled HTTP/1.1"));
  await stalled?.head();
  stalled?.socket.pause();
  const others = await hold(99, world.head("GET /other HTTP/1.1"));
  const answers = await within(
    "99 downloads beside a stalled one",
    Promise.all(others.map((visitor) => visitor.answer("GET", 20_000))),
    20_000,
  );
  for (const answer of answers) {
    expect(answer?.status).toBe(200);
    expect(answer?.isWhole).toBe(true);
    expect(answer?.bytes.length).toBe(size);
  }
});
