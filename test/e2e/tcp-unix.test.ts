import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { type ForwardOptions, forward, type Listener } from "ggrok";
import { expect, it } from "vitest";
import { ByteReader } from "../harness/byte-reader.ts";
import { DEADLINE_MS } from "../harness/deadline.ts";
import { TcpWorld } from "./tcp-world.ts";

/** A tunnel to an app that listens on a Unix socket. */
async function tunnelTo(app: Server, world: TcpWorld, proto: "http" | "tcp"): Promise<Listener> {
  const path = join(world.folder, "app.sock");
  app.listen(path);
  await once(app, "listening");
  const relay = `http://localhost:${world.relay.port}`;
  const options: ForwardOptions = {
    addr: `unix:${path}`,
    proto,
    relay,
    url: "sock",
    folder: join(world.folder, "sock"),
  };
  return await forward(options);
}

const nextConnection = async (app: Server): Promise<Socket> => {
  const [socket] = (await once(app, "connection", { signal: AbortSignal.timeout(DEADLINE_MS) })) as [Socket];
  return socket.on("error", () => {});
};

it("a visitor's break ends its own connection to a Unix socket alone", async () => {
  await using world = await TcpWorld.start();
  const app = createServer({ allowHalfOpen: true });
  await using tunnel = await tunnelTo(app, world, "tcp");
  const port = Number(tunnel.urls().join(" ").split(":").at(-1));
  const [left, leaving] = await Promise.all([nextConnection(app), world.visit(port)]);
  const [stayed, staying] = await Promise.all([nextConnection(app), world.visit(port)]);
  leaving.reset();
  // A Unix socket has no reset.
  expect(await new ByteReader(left).ended()).toBe("fin");
  stayed.write("still here");
  expect(await staying.text(10)).toBe("still here");
  staying.reset();
  for (const socket of [left, stayed]) socket.destroy();
  app.close();
});

it("so does one who has switched protocols", async () => {
  await using world = await TcpWorld.start();
  const app = createHttpServer((_request, response) => response.end("still here"));
  const upgraded = Promise.withResolvers<ByteReader>();
  app.on("upgrade", (_request, socket: Socket) => {
    upgraded.resolve(new ByteReader(socket));
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: parrot\r\n\r\n");
  });
  await using _tunnel = await tunnelTo(app, world, "http");
  const leaving = await world.say(
    "GET / HTTP/1.1\r\nHost: sock.localhost\r\nConnection: Upgrade\r\nUpgrade: parrot\r\n\r\n",
  );
  expect((await leaving.answer()).status).toBe(101);
  leaving.reset();
  expect(await (await upgraded.promise).ended()).toBe("fin");
  const next = await world.say("GET / HTTP/1.1\r\nHost: sock.localhost\r\nConnection: close\r\n\r\n");
  expect((await next.reader.rest()).toString()).toContain("still here");
  app.close();
});
