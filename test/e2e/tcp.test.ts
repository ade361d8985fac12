import { randomBytes } from "node:crypto";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { TcpWorld, writeUntilFull } from "./tcp-world.ts";

/** A window grows to 4 MiB while the kernel's buffers still take everything; its chunks are views of larger read buffers. */
const MOST_HELD_BYTES = 16_777_216;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Bytes in buffers that something still refers to. */
function heldBytes(): number {
  collectGarbage();
  return process.memoryUsage().arrayBuffers;
}

describe("a TCP tunnel at its public port", () => {
  it("carries bytes both ways, whoever speaks first", async () => {
    await using world = await TcpWorld.start();
    expect(world.agent.urls()).toEqual(["tcp://db.localhost", `tcp://localhost:${world.port}`]);
    world.service.onAccept = (socket) => void socket.write("hello");
    const visitor = await world.visit();
    expect(await visitor.text(5)).toBe("hello");
    visitor.send("question");
    const { socket, reader } = await world.service.connection();
    expect((await reader.take(8)).toString()).toBe("question");
    socket.write("answer");
    expect(await visitor.text(6)).toBe("answer");
  });

  it("keeps the half-close of the visitor: what it is answered afterwards arrives", async () => {
    await using world = await TcpWorld.start();
    const visitor = await world.visit();
    visitor.send("all of it");
    visitor.finish();
    const { socket, reader } = await world.service.connection();
    expect((await reader.rest()).toString()).toBe("all of it");
    expect(reader.end).toBe("fin");
    const late = randomBytes(300_000);
    socket.end(late);
    expect((await visitor.reader.rest()).equals(late)).toBe(true);
    expect(visitor.reader.end).toBe("fin");
  });

  it("keeps the half-close of the app: what the visitor sends afterwards arrives", async () => {
    await using world = await TcpWorld.start();
    const visitor = await world.visit();
    const { socket, reader } = await world.service.connection();
    socket.end("that was all");
    expect((await visitor.reader.rest()).toString()).toBe("that was all");
    expect(visitor.reader.end).toBe("fin");
    const late = randomBytes(3_000_000);
    visitor.send(late);
    visitor.finish();
    expect((await reader.rest()).equals(late)).toBe(true);
    expect(reader.end).toBe("fin");
  });

  it("delivers everything when both ends finish at once", async () => {
    await using world = await TcpWorld.start();
    const visitor = await world.visit();
    const { socket, reader } = await world.service.connection();
    const up = randomBytes(2_000_000);
    const down = randomBytes(2_000_000);
    visitor.socket.end(up);
    socket.end(down);
    expect((await reader.rest()).equals(up)).toBe(true);
    expect((await visitor.reader.rest()).equals(down)).toBe(true);
  });

  it("carries a reset in either direction as a reset", async () => {
    await using world = await TcpWorld.start();
    const first = await world.visit();
    first.send("x");
    const atApp = await world.service.connection(0);
    await atApp.reader.take(1);
    first.reset();
    expect(await atApp.reader.ended()).toBe("rst");

    const second = await world.visit();
    second.send("x");
    const other = await world.service.connection(1);
    await other.reader.take(1);
    other.socket.resetAndDestroy();
    expect(await second.ended()).toBe("rst");
  });

  it("resets the visitor at once when nothing listens behind the tunnel", async () => {
    await using world = await TcpWorld.start();
    world.service.stop();
    const visitor = await world.visit();
    expect(await visitor.ended()).toBe("rst");
  });

  it("holds no more than its windows for an app that does not read", async () => {
    await using world = await TcpWorld.start();
    world.service.isReading = false;
    const visitor = await world.visit();
    const before = heldBytes();
    await writeUntilFull(visitor.socket);
    expect(heldBytes() - before).toBeLessThan(MOST_HELD_BYTES);
  });

  it("holds no more than its windows for a visitor that does not read, and others are served", async () => {
    await using world = await TcpWorld.start();
    const stalled = await world.visit();
    const { socket } = await world.service.connection();
    stalled.socket.pause();
    const before = heldBytes();
    await writeUntilFull(socket);
    expect(heldBytes() - before).toBeLessThan(MOST_HELD_BYTES);
    const other = await world.visit();
    other.send("still there?");
    const { reader } = await world.service.connection(1);
    expect((await reader.take(12)).toString()).toBe("still there?");
  });

  it("lets only the addresses in that the tunnel allows", async () => {
    await using world = await TcpWorld.start({ agent: { cidrDeny: ["127.0.0.0/8"] } });
    const visitor = await world.visit();
    expect(await visitor.ended()).toBe("rst");
    expect(world.service.accepted).toEqual([]);
    const byName = await world.connect();
    expect(await byName.answer()).toEqual({ status: 403, code: "ERR_GGROK_VISITOR_FORBIDDEN" });
  });

  it("tells the app by the PROXY protocol who connects", async () => {
    await using world = await TcpWorld.start({ agent: { upstreamProxyProtocol: 1 } });
    const visitor = await world.visit();
    visitor.send("GET");
    const { reader } = await world.service.connection();
    const { localPort } = visitor.socket;
    const line = `PROXY TCP4 127.0.0.1 127.0.0.1 ${localPort} ${world.port}\r\nGET`;
    expect((await reader.take(line.length)).toString()).toBe(line);
  });

  it("gives every tunnel a port of its own and frees it with the tunnel", async () => {
    await using world = await TcpWorld.start();
    const { port } = world;
    await world.agent.close();
    expect(await (await world.visit(port)).ended()).toBe("rst");
  });
});

describe("a TCP tunnel by CONNECT", () => {
  it("is reached by its host or its name, and bytes behind the head arrive", async () => {
    await using world = await TcpWorld.start();
    for (const authority of ["db.localhost:5432", "db:1", "DB.LocalHost:1"]) {
      const visitor = await world.say(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`, "early bytes");
      expect(await visitor.answer()).toEqual({ status: 200, code: undefined });
      const { socket, reader } = await world.service.connection(world.service.accepted.length - 1);
      expect((await reader.take(11)).toString()).toBe("early bytes");
      socket.end("bye");
      expect((await visitor.reader.rest()).toString()).toBe("bye");
      visitor.finish();
      expect(await reader.ended()).toBe("fin");
    }
  });

  it("works from HTTP/1.0 without a Host, as netcat asks", async () => {
    await using world = await TcpWorld.start();
    const visitor = await world.say("CONNECT db.localhost:22 HTTP/1.0\r\n\r\n");
    expect((await visitor.answer()).status).toBe(200);
  });

  it("answers 502 with the code when the app refuses", async () => {
    await using world = await TcpWorld.start();
    world.service.stop();
    const visitor = await world.connect();
    expect(await visitor.answer()).toEqual({ status: 502, code: "ERR_GGROK_UPSTREAM_REFUSED" });
  });

  it("takes the token as Bearer or as Basic's password, and asks for it with 407", async () => {
    await using world = await TcpWorld.start({ relay: { token: "secret" }, agent: { authtoken: "secret" } });
    const basic = (text: string): string => `Proxy-Authorization: Basic ${Buffer.from(text).toString("base64")}`;
    const refused = { status: 407, code: "ERR_GGROK_CONNECT_UNAUTHORIZED" };
    expect(await (await world.connect()).answer()).toEqual(refused);
    expect(await (await world.connect("Authorization: Bearer secret")).answer()).toEqual(refused);
    expect(await (await world.connect("Proxy-Authorization: Bearer wrong")).answer()).toEqual(refused);
    expect(await (await world.connect(basic("secret:wrong"))).answer()).toEqual(refused);
    expect(
      await (await world.connect("Proxy-Authorization: Bearer secret", "Proxy-Authorization: Bearer secret")).answer(),
    ).toEqual(refused);
    expect(world.service.accepted).toEqual([]);
    for (const field of ["Proxy-Authorization: Bearer secret", basic("anyone:secret"), basic(":secret")]) {
      expect((await (await world.connect(field)).answer()).status).toBe(200);
    }
  });

  it("asks nobody for a token when the tunnel is public", async () => {
    await using world = await TcpWorld.start({
      relay: { token: "secret" },
      agent: { authtoken: "secret", public: true },
    });
    expect((await (await world.connect()).answer()).status).toBe(200);
    // A wrong token is a mistake its owner wants to hear of.
    expect((await (await world.connect("Proxy-Authorization: Bearer wrong")).answer()).status).toBe(407);
  });

  it.each(["127.0.0.1:22", "example.com:443", "nothing:1", "nothing.localhost:1", "localhost:1", "[::1]:22"])(
    "reaches nothing but TCP tunnels: %s",
    async (authority) => {
      await using world = await TcpWorld.start({ relay: { hold: "0" } });
      const visitor = await world.say(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
      expect(await visitor.answer()).toEqual({ status: 403, code: "ERR_GGROK_CONNECT_REFUSED" });
    },
  );

  it.each([
    ["no port", "CONNECT db.localhost HTTP/1.1\r\nHost: db.localhost"],
    ["a path", "CONNECT /db HTTP/1.1\r\nHost: db.localhost"],
    ["two hosts", "CONNECT db.localhost:1 HTTP/1.1\r\nHost: db.localhost:1\r\nHost: other:1"],
    ["a body", "CONNECT db.localhost:1 HTTP/1.1\r\nHost: db.localhost:1\r\nContent-Length: 5"],
  ])("refuses a CONNECT with %s", async (_what, head) => {
    await using world = await TcpWorld.start();
    const { status } = await (await world.say(`${head}\r\n\r\n`)).answer();
    expect(status).toBe(400);
    expect(world.service.accepted).toEqual([]);
  });

  it("is reached by name in single-host mode", async () => {
    await using world = await TcpWorld.start({ relay: { domain: undefined as never } });
    expect(world.agent.url()).toBe("tcp://db");
    const visitor = await world.say("CONNECT db:1 HTTP/1.1\r\nHost: db:1\r\n\r\n", "x");
    expect((await visitor.answer()).status).toBe(200);
    const { reader } = await world.service.connection();
    expect((await reader.take(1)).toString()).toBe("x");
  });
});
