import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { forward } from "ggrok";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { within } from "../harness/deadline.ts";
import { FaultProxy } from "../harness/fault-proxy.ts";
import { Program } from "./cli-world.ts";
import { TcpWorld, writeUntilFull } from "./tcp-world.ts";

/** What the kernel's buffers of both ends take on loopback, and the relay's own bound, which is far smaller. */
const MOST_TAKEN_BYTES = 33_554_432;

/** An agent that was refused a few times waits longer each time. */
const RETURN_MS = 45_000;

describe("a TCP tunnel whose link is cut", () => {
  it("keeps its connections and its port, and loses no byte", async () => {
    await using world = await TcpWorld.start({ relay: { hold: "60s" } });
    await using link = await FaultProxy.start(world.relay.port);
    await using agent = await forward({
      addr: world.service.port,
      proto: "tcp",
      relay: `http://localhost:${link.port}`,
      url: "far",
      folder: mkdtempSync(join(world.folder, "far-")),
    });
    const port = Number(agent.urls().at(-1)?.split(":").at(-1));
    const visitor = await world.visit(port);
    const up = randomBytes(8_000_000);
    const down = randomBytes(8_000_000);
    visitor.send(up.subarray(0, 1_000));
    const { socket, reader } = await world.service.connection();
    await reader.take(1_000);
    for (const by of ["rst", "fin"] as const) {
      const cut = link.cutFor(200, by);
      const half = by === "rst" ? [1_000, 4_000_000] : [4_000_000];
      visitor.send(up.subarray(...half));
      socket.write(by === "rst" ? down.subarray(0, 4_000_000) : down.subarray(4_000_000));
      await cut;
    }
    visitor.finish();
    expect((await reader.rest(RETURN_MS)).equals(up.subarray(1_000))).toBe(true);
    socket.end();
    expect((await visitor.reader.rest(RETURN_MS)).equals(down)).toBe(true);
    expect(link.connections).toBeGreaterThan(1);
    expect(agent.urls().at(-1)).toBe(`tcp://localhost:${port}`);
    expect((await world.visit(port)).socket.readyState).toBe("open");
  });
});

describe("the public port of a TCP tunnel", () => {
  it("is its owner's again after a restart, and nobody else's meanwhile", async () => {
    await using world = await TcpWorld.start({ relay: { token: "secret" }, agent: { authtoken: "secret" } });
    const { port } = world;
    const options = {
      addr: world.service.port,
      proto: "tcp",
      relay: `http://localhost:${world.relay.port}`,
      authtoken: "secret",
    } as const;
    const wish = { ...options, url: `tcp://localhost:${port}`, folder: mkdtempSync(join(world.folder, "other-")) };
    await expect(forward(wish)).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_GGROK_/) as string });
    await world.agent.close();
    await using again = await forward({ ...options, url: "db", folder: world.folder });
    expect(again.urls()).toContain(`tcp://localhost:${port}`);
  });

  it("is open to the addresses that --cidr-allow names, and to those alone", async () => {
    await using world = await TcpWorld.start({ agent: { cidrAllow: ["127.0.0.1/32"] } });
    const visitor = await world.visit();
    visitor.send("x");
    const { reader } = await world.service.connection();
    expect((await reader.take(1)).toString()).toBe("x");
    await using other = await forward({
      addr: world.service.port,
      proto: "tcp",
      relay: `http://localhost:${world.relay.port}`,
      url: "closed",
      cidrAllow: ["192.0.2.0/24"],
      folder: mkdtempSync(join(world.folder, "other-")),
    });
    const port = Number(other.urls().at(-1)?.split(":").at(-1));
    expect(await (await world.visit(port)).ended()).toBe("rst");
    expect(world.service.accepted).toHaveLength(1);
  });
});

describe("bytes that come before the service has taken the connection", () => {
  it("wait for an agent that is away, bounded, and arrive in order when it is back", async () => {
    await using world = await TcpWorld.start({ relay: { hold: "60s", park: "60s" } });
    await using link = await FaultProxy.start(world.relay.port);
    const folder = mkdtempSync(join(world.folder, "away-"));
    const options = { addr: world.service.port, proto: "tcp", url: "away", folder } as const;
    await using agent = await forward({ ...options, relay: `http://localhost:${link.port}` });
    const port = Number(agent.urls().at(-1)?.split(":").at(-1));
    const lost = new Promise((resolve) => agent.on("session.reconnecting", resolve));
    link.isRefusing = true;
    link.cut("rst");
    await within("the link to be lost", lost);
    const visitor = await world.visit(port);
    visitor.send("first");
    const bytes = await writeUntilFull(visitor.socket, MOST_TAKEN_BYTES);
    link.isRefusing = false;
    visitor.finish();
    const { reader } = await world.service.connection(0, RETURN_MS);
    expect((await reader.take(5)).toString()).toBe("first");
    expect((await reader.rest(RETURN_MS)).length).toBe(bytes);
  });
});

describe("the scope connect", () => {
  let dataDir: string;
  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), "ggrok-tcp-tokens-"));
  });
  afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

  async function makeToken(...args: string[]): Promise<string> {
    const program = Program.relay(["token", "create", ...args], { ...process.env, GGROK_DATA_DIR: dataDir });
    expect(await program.exited, program.stderr).toBe(0);
    return program.stdout.trim();
  }

  it("is needed to reach a private TCP tunnel by name, with globs that fit", async () => {
    const publisher = await makeToken("publisher", "--scopes", "bind");
    const guest = await makeToken("guest", "--scopes", "connect", "--names", "db");
    const stranger = await makeToken("stranger", "--scopes", "connect", "--names", "other-*");
    await using world = await TcpWorld.start({ relay: { dataDir }, agent: { authtoken: publisher } });
    const status = async (token: string): Promise<number> =>
      (await (await world.connect(`Proxy-Authorization: Bearer ${token}`)).answer()).status;
    expect([await status(publisher), await status(guest), await status(stranger)]).toEqual([407, 200, 407]);
  });
});
