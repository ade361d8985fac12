import { connect, type Socket } from "node:net";
import { expect, it } from "vitest";
import { ByteReader } from "../harness/byte-reader.ts";
import { eventually, within } from "../harness/deadline.ts";
import { Place, RelayProcess } from "./cli-world.ts";
import { type Accepted, startRouter, TcpService } from "./tcp-world.ts";

const TOKEN = "tok-1234567890";
const EXIT_MS = 30_000;
const CONNECTIONS = 20;

/** The connections that brought something: `ggrok tcp` looks at its start whether the service listens. */
async function spoken(service: TcpService, index = 0): Promise<Accepted> {
  const speaking = (): Accepted[] => service.accepted.filter(({ reader }) => reader.total > 0);
  await eventually(
    () => `connection ${index} that says something`,
    () => speaking().length > index,
    EXIT_MS,
  );
  const found = speaking()[index];
  if (found === undefined) throw new Error("no such connection");
  return found;
}

/** A relay, a place for agents that knows it, and a service. */
async function start(...flags: string[]) {
  const relay = await RelayProcess.start(["--domain", "localhost", "--token", TOKEN, "--park", "100ms", ...flags]);
  const place = new Place({ GGROK_RELAY: relay.origin, GGROK_AUTHTOKEN: TOKEN });
  const service = await TcpService.start();
  return {
    relay,
    place,
    service,
    tunnel: (...more: string[]) =>
      place.ggrok(["tcp", String(service.port), "--url", "db", "--web-addr", "false", "--json", ...more]),
    async [Symbol.asyncDispose]() {
      await service[Symbol.asyncDispose]();
      await relay[Symbol.asyncDispose]();
      await place[Symbol.asyncDispose]();
    },
  };
}

it("ggrok tcp tells its URL, ggrok connect listens, and all connections share one WebSocket", async () => {
  await using world = await start();
  await using agent = world.tunnel();
  expect(await agent.event("tunnel.online")).toMatchObject({
    url: "tcp://db.localhost",
    target: `tcp://localhost:${world.service.port}`,
  });
  // A front end that answers CONNECT itself, as Heroku's router does.
  await using router = await startRouter(world.relay.port);
  const relay = `http://localhost:${router.port}`;
  await using connector = world.place.ggrok(
    ["connect", "db", "--relay", relay, "--authtoken", TOKEN, "--listen", "127.0.0.1:0", "--json"],
    {},
  );
  const { name, url } = await connector.event("connect.listening");
  expect(name).toBe("db");
  const port = Number(new URL(String(url)).port);
  const sockets: Socket[] = [];
  for (let index = 0; index < CONNECTIONS; index += 1) {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    sockets.push(socket);
    const reader = new ByteReader(socket);
    socket.end(`visitor ${index}`);
    // One after the other, so that the first has found the way before the second asks for it.
    const { socket: atApp, reader: readerAtApp } = await spoken(world.service, index);
    expect((await readerAtApp.rest()).toString()).toBe(`visitor ${index}`);
    atApp.end("bye");
    expect((await reader.rest()).toString()).toBe("bye");
  }
  expect([router.connects, router.passed]).toEqual([1, 1]);
  for (const socket of sockets) socket.destroy();
  connector.kill("SIGINT");
  expect(await within("the connector's end", connector.exited, EXIT_MS)).toBe(0);
  agent.kill("SIGINT");
  expect(await within("the agent's end", agent.exited, EXIT_MS)).toBe(0);
});

it("ggrok connect --listen stays when a connection fails, resets that one and says why", async () => {
  await using world = await start();
  await using agent = world.tunnel();
  await agent.event("tunnel.online");
  world.service.stop();
  await using connector = world.place.ggrok(["connect", "db", "--listen", "127.0.0.1:0", "--json"]);
  const { url } = await connector.event("connect.listening");
  const reader = new ByteReader(connect({ port: Number(new URL(String(url)).port), host: "127.0.0.1" }));
  expect(await reader.ended()).toBe("rst");
  expect(await connector.event("error")).toMatchObject({ code: "ERR_GGROK_UPSTREAM_REFUSED" });
  expect(connector.child.exitCode).toBeNull();
});

it("ggrok connect on stdio carries both directions to their ends", async () => {
  await using world = await start();
  await using agent = world.tunnel();
  await agent.event("tunnel.online");
  await using connector = world.place.ggrok(["connect", "db"], { stdin: "question" });
  const { socket, reader } = await spoken(world.service);
  expect((await reader.rest()).toString()).toBe("question");
  socket.end("late answer");
  expect(await within("its end", connector.exited, EXIT_MS)).toBe(0);
  expect(connector.stdout).toBe("late answer");
  expect(connector.stderr).toBe("");
});

it("ggrok connect on stdio ends with a code that says what is wrong", async () => {
  await using world = await start("--hold", "0s");
  await using agent = world.tunnel();
  await agent.event("tunnel.online");
  const codeOf = async (...args: string[]): Promise<number | string> => {
    await using connector = world.place.ggrok(["connect", ...args, "--stdio"], { stdin: "" });
    const code = await within(args.join(" "), connector.exited, EXIT_MS);
    expect(connector.stdout).toBe("");
    expect(connector.stderr).toMatch(/^ggrok: .+\n/);
    return code;
  };
  expect(await codeOf("db", "--authtoken", "wrong")).toBe(4);
  expect(await codeOf("nothing")).toBe(5);
  expect(await codeOf("db", "--relay", "http://localhost:9")).toBe(6);
  expect(await codeOf("not a name")).toBe(2);
  expect(await codeOf("db", "--listen", "127.0.0.1:0")).toBe(2);
});

it("ggrok tcp opens a tunnel to everybody with --public, and says who visits with the PROXY protocol", async () => {
  await using world = await start();
  await using agent = world.tunnel("--public", "--upstream-proxy-protocol", "2");
  await agent.event("tunnel.online");
  await using stranger = new Place({ GGROK_RELAY: world.relay.origin });
  await using connector = stranger.ggrok(["connect", "db"], { stdin: "x" });
  const { socket, reader } = await spoken(world.service);
  const header = await reader.take(16);
  expect(header.toString("hex")).toBe("0d0a0d0a000d0a515549540a2111000c");
  expect([...(await reader.take(12)).subarray(0, 4)]).toEqual([127, 0, 0, 1]);
  expect((await reader.rest()).toString()).toBe("x");
  socket.end();
  expect(await within("its end", connector.exited, EXIT_MS)).toBe(0);
});
