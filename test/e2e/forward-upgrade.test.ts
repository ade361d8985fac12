import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import type { Socket } from "node:net";
import { ResetCode } from "@ggrok/protocol";
import { expect, it } from "vitest";
import { WebSocketServer } from "ws";
import { ForwardWorld, startApp, startRawApp, within } from "./forward-world.ts";

const FIELDS = ["Host", "demo.test", "upgrade", "Echo/2", "X-A", "b", "Connection", "Upgrade", "x-a", "c"];
const SWITCH = "HTTP/1.1 101 Go on\r\nconnection: upgrade\r\nUpgrade: Echo/2\r\nX-B: \u00fc\r\nx-b: 2\r\n\r\n";

async function startSwitching(onSwitched: (socket: Socket, head: string) => void) {
  return startRawApp(async (socket, received) => {
    const head = await received.until("\r\n\r\n");
    onSwitched(socket, head);
  });
}

it("asks the app for the switch as the visitor did, and passes its 101 on as it is", async () => {
  let request = "";
  await using app = await startSwitching((socket, head) => {
    request = head;
    socket.write(Buffer.from(SWITCH, "latin1"));
  });
  await using world = new ForwardWorld(`http://localhost:${app.port}/base`);
  const visit = world.open({ kind: "upgrade", target: "/ws?x", fields: FIELDS, isOpen: true });
  expect(await visit.answered()).toEqual({
    status: 101,
    reason: "Go on",
    fields: ["connection", "upgrade", "Upgrade", "Echo/2", "X-B", "\u00fc", "x-b", "2"],
  });
  expect(visit.stream.dispatched).toBe(true);
  const [line, ...fields] = request.split("\r\n\r\n")[0]?.split("\r\n") ?? [];
  expect(line).toBe("GET /base/ws?x HTTP/1.1");
  expect(fields.filter((field) => !/^connection:/i.test(field))).toEqual([
    "Host: demo.test",
    "upgrade: Echo/2",
    "X-A: b",
    "x-a: c",
  ]);
  expect(fields.filter((field) => /^connection: upgrade$/i.test(field))).toHaveLength(1);
});

it("delivers bytes that came in the packet of the 101, before any later ones", async () => {
  await using app = await startSwitching((socket) => {
    socket.write(`${SWITCH}early `);
    socket.write("late");
  });
  await using world = new ForwardWorld(app.port);
  const visit = world.open({ kind: "upgrade", fields: FIELDS, isOpen: true });
  await visit.until(() => visit.body.toString() === "early late");
});

it("carries 8 MiB each way at once, unchanged", async () => {
  await using app = await startSwitching((socket) => {
    socket.write(SWITCH);
    socket.pipe(socket);
  });
  await using world = new ForwardWorld(app.port);
  const visit = world.open({ kind: "upgrade", fields: FIELDS, isOpen: true });
  await visit.answered();
  const sent = createHash("sha256");
  for (let i = 0; i < 128; i++) {
    const chunk = randomBytes(65_536);
    sent.update(chunk);
    if (!visit.write(chunk)) await visit.until(() => !visit.stream.isPaused);
  }
  visit.end();
  const { body } = await visit.ended();
  expect(createHash("sha256").update(body).digest("hex")).toBe(sent.digest("hex"));
  expect(world.events.at(-1)).toMatchObject({ phase: "end", status: 101, bytesIn: 8_388_608, bytesOut: 8_388_608 });
});

it("keeps each direction's end apart: the visitor's first", async () => {
  await using app = await startSwitching((socket) => {
    socket.write(SWITCH);
    socket.on("end", () => socket.end("after your end"));
  });
  await using world = new ForwardWorld(app.port);
  const visit = world.open({ kind: "upgrade", fields: FIELDS, isOpen: true });
  await visit.answered();
  visit.end("bye");
  expect((await visit.ended()).body.toString()).toBe("after your end");
  expect(world.forwarder.openExchanges).toBe(0);
});

it("keeps each direction's end apart: the app's first", async () => {
  const rest = Promise.withResolvers<string>();
  await using app = await startRawApp(async (socket, received) => {
    await received.until("\r\n\r\n");
    socket.end(`${SWITCH}done`);
    rest.resolve(await received.until("after your end"));
  });
  await using world = new ForwardWorld(app.port);
  const visit = world.open({ kind: "upgrade", fields: FIELDS, isOpen: true });
  expect((await visit.ended()).body.toString()).toBe("done");
  expect(world.forwarder.openExchanges).toBe(1);
  visit.write("after your ");
  visit.end("end");
  await within(rest.promise, "the visitor's bytes");
  expect(world.forwarder.openExchanges).toBe(0);
});

it("passes any other answer on as an ordinary one", async () => {
  await using app = await startSwitching((socket) => {
    socket.write(
      "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 401 No\r\nContent-Length: 3\r\nX-A: b\r\n\r\nno!",
    );
  });
  await using world = new ForwardWorld(app.port);
  const visit = world.open({ kind: "upgrade", fields: FIELDS, isOpen: true });
  expect(await visit.ended()).toMatchObject({ status: 401, body: Buffer.from("no!") });
  expect(visit.heads.map((head) => head.status)).toEqual([103, 401]);
  expect(visit.stream.isClosed).toBe(true);
  expect(world.forwarder.openExchanges).toBe(0);
});

it("stops reading the app while the visitor does not read", async () => {
  const chunk = Buffer.alloc(65_536);
  let written = 0;
  let isFull = false;
  await using app = await startSwitching((socket) => {
    socket.write(SWITCH);
    const pump = () => {
      while (written < 64 * 1024 * 1024) {
        written += chunk.length;
        if (!socket.write(chunk)) {
          isFull = true;
          socket.once("drain", pump);
          return;
        }
      }
      socket.end();
    };
    pump();
  });
  await using world = new ForwardWorld(app.port);
  const visit = world.open({ kind: "upgrade", fields: FIELDS, isOpen: true });
  visit.stream.isStalled = true;
  await visit.until(() => visit.chunks.length > 0);
  for (let still = 0, before = -1; still < 500; still = before === written ? still + 1 : 0, before = written) {
    await new Promise(setImmediate);
  }
  expect(isFull).toBe(true);
  expect(written).toBeLessThan(32 * 1024 * 1024);
  expect(visit.body.length).toBeLessThan(512 * 1024);
  visit.stream.drain();
  visit.end();
  expect((await visit.ended()).body.length).toBe(64 * 1024 * 1024);
});

it("stops taking the visitor's bytes while the app does not read", async () => {
  const sockets: Socket[] = [];
  await using app = await startSwitching((socket) => {
    socket.pause();
    socket.write(SWITCH);
    sockets.push(socket);
  });
  await using world = new ForwardWorld(app.port);
  const visit = world.open({ kind: "upgrade", fields: FIELDS, isOpen: true });
  await visit.answered();
  const chunk = Buffer.alloc(65_536);
  let sent = 0;
  while (visit.write(chunk)) {
    sent += chunk.length;
    expect(sent).toBeLessThan(64 * 1024 * 1024);
    await new Promise(setImmediate);
  }
  sockets[0]?.resume();
  await visit.until(() => !visit.stream.isPaused);
});

it("breaks when the app's connection breaks, and frees the app when the visitor leaves", async () => {
  const sockets: Socket[] = [];
  await using app = await startSwitching((socket) => {
    socket.write(SWITCH);
    sockets.push(socket);
  });
  await using world = new ForwardWorld(app.port);
  const broken = world.open({ kind: "upgrade", fields: FIELDS, isOpen: true });
  await broken.answered();
  sockets[0]?.resetAndDestroy();
  expect((await broken.failed()).code).toBe(ResetCode.UpstreamReset);
  expect(broken.isEnded).toBe(false);

  const left = world.open({ kind: "upgrade", fields: FIELDS, isOpen: true });
  await left.answered();
  const [, socket] = sockets;
  if (socket === undefined) throw new Error("no second connection");
  left.leave();
  const [error] = await within(once(socket, "error"), "the app's error");
  expect(error).toMatchObject({ code: "ECONNRESET" });
  expect(world.forwarder.openExchanges).toBe(0);
});

it.each([
  ["closes", "", ResetCode.UpstreamReset],
  ["answers garbage", "nonsense\r\n\r\n", ResetCode.UpstreamMalformed],
])("fails when the app %s instead", async (_what, answer, code) => {
  await using app = await startSwitching((socket) => socket.end(answer));
  await using world = new ForwardWorld(app.port);
  expect((await world.open({ kind: "upgrade", fields: FIELDS, isOpen: true }).failed()).code).toBe(code);
});

it("cuts a connection on which nothing moves for the tunnel's timeout", async () => {
  await using app = await startSwitching((socket) => socket.write(SWITCH));
  await using world = new ForwardWorld(app.port, { timeoutMs: 100 });
  const visit = world.open({ kind: "upgrade", fields: FIELDS, isOpen: true });
  await visit.answered();
  expect((await visit.failed()).code).toBe(ResetCode.UpstreamTimeout);
});

it("carries a WebSocket to a real server", async () => {
  await using app = await startApp((_request, response) => response.end());
  const wss = new WebSocketServer({ server: app.server });
  wss.on("connection", (socket) => {
    socket.send("hello");
    socket.on("message", (data) => socket.send(`echo ${String(data)}`));
  });
  await using world = new ForwardWorld(app.port);
  const key = randomBytes(16).toString("base64");
  const visit = world.open({
    kind: "upgrade",
    isOpen: true,
    fields: [
      "Host",
      "h",
      "Upgrade",
      "websocket",
      "Connection",
      "Upgrade",
      "Sec-WebSocket-Version",
      "13",
      "Sec-WebSocket-Key",
      key,
    ],
  });
  const head = await visit.answered();
  expect(head.fields).toContain("Sec-WebSocket-Accept");
  await visit.until(() => visit.body.toString("latin1") === "\x81\x05hello");
  // A masked text frame "hi" with the mask 0.
  visit.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]));
  await visit.until(() => visit.body.toString("latin1") === "\x81\x05hello\x81\x07echo hi");
  wss.close();
});
