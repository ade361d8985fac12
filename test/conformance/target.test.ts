// The agent connects to the target on its own command line and nowhere else, whatever visitor, app or relay say.
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { forward } from "ggrok";
import { afterAll, beforeAll, expect, it } from "vitest";
import { valuesOf } from "../harness/byte-reader.ts";
import { HostileRelay } from "../harness/hostile-relay.ts";
import { RawOrigin } from "../harness/raw-origin.ts";
import { startWorld, type World } from "../harness/world.ts";

let world: World;
let trap: Server;
let dialled = 0;
beforeAll(async () => {
  trap = createServer((socket) => {
    dialled += 1;
    socket.destroy();
  });
  trap.listen(0, "127.0.0.1");
  await once(trap, "listening");
  world = await startWorld();
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  trap.close();
  await once(trap, "close");
});

const elsewhere = (): string => `127.0.0.1:${(trap.address() as AddressInfo).port}`;

it.each([301, 302, 303, 307, 308])("a redirect with %i is the visitor's to follow, not the agent's", async (status) => {
  for (const location of [`http://${elsewhere()}/`, "http://169.254.169.254/latest/meta-data/", "//evil.example/"]) {
    world.origin.answer = `HTTP/1.1 ${status} Over there\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`;
    const answer = await world.ask(world.head("GET / HTTP/1.1"));
    expect(answer.status).toBe(status);
    expect(valuesOf(answer.fields, "location")).toEqual([location]);
  }
  world.origin.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  expect(dialled).toBe(0);
});

it.each([
  (other: string) => `http://${other}/`,
  (other: string) => `https://${other}/`,
  (other: string) => `//${other}/`,
  (other: string) => `/http://${other}/`,
  (other: string) => `/@${other}/`,
  (other: string) => `//x@${other}/`,
])("a target of the form %s reaches the app or nobody", async (form) => {
  for (const lines of [[], ["Connection: Upgrade", "Upgrade: websocket"], ["TE: trailers"]]) {
    const answer = await world.ask(world.head(`GET ${form(elsewhere())} HTTP/1.1`, ...lines));
    expect([200, 400, 404]).toContain(answer.status);
  }
  await world.expectGood();
  expect(dialled).toBe(0);
});

it("a relay that names another target is not obeyed", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ggrok-target-"));
  await using origin = await RawOrigin.start();
  await using relay = await HostileRelay.start();
  const agent = forward({
    addr: `127.0.0.1:${origin.port}`,
    relay: `http://localhost:${relay.port}`,
    url: "app",
    folder,
  });
  agent.catch(() => {});
  const link = await relay.link(0);
  await link.welcome({ domain: elsewhere() });
  await agent;
  const targets = [`http://${elsewhere()}/a`, `//${elsewhere()}/b`, `/@${elsewhere()}/c`, "/d"];
  for (const target of targets) link.open(target);
  await link.changes.until("an answer to each", () => new Set(link.frames.map(({ stream }) => stream)).size >= 4);
  await origin.changes.until("the last request", () => origin.requests.some(({ target }) => target === "/d"));
  expect(dialled).toBe(0);
  link.socket.destroy();
  await (await agent).close();
  rmSync(folder, { recursive: true, force: true });
});
