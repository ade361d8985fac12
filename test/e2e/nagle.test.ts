import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import { createConnection } from "ggrok";
import { expect, it } from "vitest";
import { parseRelayUrl } from "../../packages/client/src/config/relay-url.ts";
import { Connector } from "../../packages/client/src/connect/connector.ts";
import { listenFor } from "../../packages/client/src/connect/listen.ts";
import { DEADLINE_MS } from "../harness/deadline.ts";
import { nagleOf, SocketLog } from "../harness/nagle.ts";
import { ProxyWorld } from "./proxy-world.ts";
import { TcpWorld } from "./tcp-world.ts";

async function expectNagleOff(hops: Readonly<Record<string, { sockets: Socket[]; count: number }>>): Promise<void> {
  for (const [hop, { sockets, count }] of Object.entries(hops)) {
    expect([hop, ...(await nagleOf(sockets))]).toEqual([hop, ...Array.from({ length: count }, () => "off")]);
  }
}

it("a TCP tunnel holds no small packet back, from its public port and from ggrok connect to the app", async () => {
  using log = new SocketLog();
  await using world = await TcpWorld.start();
  const relay = parseRelayUrl(`http://localhost:${world.relay.port}`);
  const connector = new Connector({ relay, stateDir: join(world.folder, "ways"), userAgent: "test" });
  const listener = await listenFor(
    { host: "127.0.0.1", port: 0 },
    (gone) => connector.open("db", gone),
    (error) => {
      throw error;
    },
  );
  const visitor = await world.visit();
  await world.service.connection(0);
  const local = await world.visit(listener.address.port);
  await world.service.connection(1);
  local.send("there?");
  await (await world.service.connection(1)).reader.take(6);
  await expectNagleOff({
    "the visitor at the public port": { sockets: log.at(world.port), count: 1 },
    "the agent and ggrok connect at the relay": { sockets: log.at(world.relay.port), count: 2 },
    "the relay at the agent and ggrok connect": { sockets: log.to(world.relay.port), count: 2 },
    "the app at the agent": { sockets: log.to(world.service.port), count: 2 },
    "the program at ggrok connect": { sockets: log.at(listener.address.port), count: 1 },
  });
  // The kernel's word is worth something: it also says when it is on.
  visitor.socket.setNoDelay(false);
  expect(await nagleOf([visitor.socket, local.socket])).toEqual(["on", "off"]);
  local.socket.destroy();
  await listener.close(0);
  connector.close();
});

it("nor does one that is reached over a WebSocket", async () => {
  using log = new SocketLog();
  await using world = await TcpWorld.start();
  const relay = `http://localhost:${world.relay.port}`;
  mkdirSync(join(world.folder, "state", "ggrok"), { recursive: true });
  writeFileSync(join(world.folder, "state", "ggrok", "connect-ways.json"), JSON.stringify({ [relay]: "upgrade" }));
  const socket = createConnection({ relay, name: "db" });
  await once(socket, "connect", { signal: AbortSignal.timeout(DEADLINE_MS) });
  await expectNagleOff({
    "agent and connector at the relay": { sockets: log.at(world.relay.port), count: 2 },
    "the relay at agent and connector": { sockets: log.to(world.relay.port), count: 2 },
  });
  socket.destroy();
});

it("nor does the forward proxy", async () => {
  using log = new SocketLog();
  await using world = new ProxyWorld();
  const { port } = await world.tcp((socket) => socket.write("here"));
  const { listener } = await world.proxy();
  const client = await world.dial(listener.port, `CONNECT 127.0.0.1:${port} HTTP/1.1\r\nHost: x\r\n\r\n`);
  expect((await client.head())?.startLine).toContain("200");
  expect((await client.reader.take(4)).toString()).toBe("here");
  await expectNagleOff({
    "the client at the proxy": { sockets: log.at(listener.port), count: 1 },
    "the destination at the proxy": { sockets: log.to(port), count: 1 },
  });
});
