import { Agent, createServer } from "node:http";
import express from "express";
import fastify from "fastify";
import { Server as SocketServer } from "socket.io";
import { io } from "socket.io-client";
import { expect, it } from "vitest";
import { WebSocketServer } from "ws";
import { ask } from "../harness/visitors.ts";
import { RealWorld } from "./real-world.ts";

it("serves an Express app, with its parsed body, its cookies and its redirects", async () => {
  const app = express();
  app.use(express.json());
  app.post("/echo", (request, response) => {
    response
      .cookie("a", "1")
      .cookie("b", "2")
      .json({ got: request.body, ip: request.get("x-forwarded-for") });
  });
  app.get("/old", (_request, response) => response.redirect(302, "/new"));
  await using world = await RealWorld.serving(app);
  const echoed = await ask(world.door, "/echo", {
    method: "POST",
    body: '{"x":[1,2]}',
    headers: { "content-type": "application/json" },
  });
  expect(echoed.body.toString()).toMatch(/^\{/);
  expect(JSON.parse(echoed.body.toString())).toEqual({ got: { x: [1, 2] }, ip: "127.0.0.1" });
  expect(echoed.headers["set-cookie"]).toHaveLength(2);
  const moved = await ask(world.door, "/old");
  expect([moved.status, moved.headers.location]).toEqual([302, "/new"]);
});

it("serves a Fastify app that was never told to listen", async () => {
  const app = fastify();
  app.get("/user/:id", (request) => ({ id: (request.params as { id: string }).id }));
  await using world = await RealWorld.serving(app);
  const answer = await ask(world.door, "/user/7");
  expect([answer.status, answer.body.toString()]).toEqual([200, '{"id":"7"}']);
  expect((await ask(world.door, "/nothing")).status).toBe(404);
  await app.close();
});

it("serves a fetch handler", async () => {
  await using world = await RealWorld.serving(
    async (request: Request) => new Response(`${request.method} ${await request.text()}`),
  );
  const answer = await ask(world.door, "/", { method: "PUT", body: "body" });
  expect(answer.body.toString()).toBe("PUT body");
});

it.each(["polling", "websocket"] as const)("carries Socket.IO over %s", async (transport) => {
  const server = createServer();
  const sockets = new SocketServer(server, { wsEngine: WebSocketServer });
  sockets.on("connection", (socket) => {
    socket.on("echo", (value: unknown, answer: (value: unknown) => void) => answer({ value }));
  });
  await using world = await RealWorld.forwarding(server);
  // Names under localhost are this machine whatever the resolver says; polling cannot set Host.
  const agent = new Agent({ lookup: (_name, _options, done) => done(null, [{ address: "127.0.0.1", family: 4 }]) });
  const client = io(world.tunnel.url(), {
    transports: [transport],
    agent: agent as unknown as string,
    reconnection: false,
  });
  const answers: unknown[] = [];
  for (let i = 0; i < 20; i += 1) answers.push(await client.timeout(10_000).emitWithAck("echo", i));
  expect(answers).toEqual(Array.from({ length: 20 }, (_, value) => ({ value })));
  expect(client.io.engine.transport.name).toBe(transport);
  const binary = (await client.timeout(10_000).emitWithAck("echo", Buffer.alloc(300_000, 7))) as { value: Buffer };
  expect(Buffer.from(binary.value).equals(Buffer.alloc(300_000, 7))).toBe(true);
  client.disconnect();
  agent.destroy();
  await sockets.close();
});
