// An agent at a relay that breaks the protocol: it leaves, lives, and comes back.
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { deflateRawSync } from "node:zlib";
import { encodeU48, FLAG_FIN, FrameType, type HttpOpenHead, LIMITS } from "@ggrok/protocol";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Place, type Program } from "../e2e/cli-world.ts";
import { Changes } from "../harness/deadline.ts";
import { FaultApp } from "../harness/fault-app.ts";
import { rssMiB } from "../harness/fault-world.ts";
import { frameOf, type HostileLink, HostileRelay, openPayload } from "../harness/hostile-relay.ts";
import { webSocketFrame } from "./raw-websocket.ts";

/** Agents that come back in turn: one of them is always about to dial. */
const AGENTS = 6;

let app: FaultApp;
let relay: HostileRelay;
const places: Place[] = [];
const agents: Program[] = [];
beforeAll(async () => {
  app = await FaultApp.start();
  relay = await HostileRelay.start();
  for (let i = 0; i < AGENTS; i += 1) {
    const place = new Place();
    places.push(place);
    const to = ["--relay", `http://localhost:${relay.port}`];
    agents.push(place.ggrok(["http", String(app.port), ...to, "--log-level", "error", "--json"]));
  }
});
afterAll(async () => {
  for (const part of [...agents, ...places, relay, app]) await part[Symbol.asyncDispose]();
});

let next = 0;
/** The next connection of an agent, which waits for its welcome. */
async function freshLink(): Promise<HostileLink> {
  for (;;) {
    const link = await relay.link(next);
    next += 1;
    if (!link.isClosed) return link;
  }
}

/** The next connection of an agent, greeted; it has answered an ordinary request as stream 2. */
async function nextLink(): Promise<HostileLink> {
  const link = await freshLink();
  await link.welcome();
  const id = link.open("/get/good");
  await link.changes.until("the answer", () =>
    link.frames.some(({ type, stream }) => type === FrameType.Head && stream === id),
  );
  return link;
}

/** All agents live. That each comes back and works is what the next case begins with. */
function expectAlive(): void {
  for (const agent of agents) expect(agent.child.exitCode, agent.stderr).toBeNull();
}

/** Memory of all agents together. */
const memory = (): number => agents.reduce((sum, { child }) => sum + rssMiB(child.pid), 0);

function header(length: number, stream: number, type: number, flags = 0): Buffer {
  const bytes = Buffer.alloc(10);
  bytes.writeUInt32BE(length, 0);
  bytes.writeUInt32BE(stream, 4);
  bytes[8] = type;
  bytes[9] = flags;
  return bytes;
}

const OPEN = (id: number): Buffer => frameOf(FrameType.Open, 0, id, openPayload("/hang", 1_000, "POST"));

describe("the agent leaves at", () => {
  // All at once: each case has a connection of its own, and the agent comes back after each.
  it.each<[string, Buffer[]]>([
    ["an empty message", [Buffer.alloc(0)]],
    ["a cut header", [header(8, 0, FrameType.Ping).subarray(0, 9)]],
    ["a frame of 2^32 - 1 bytes", [Buffer.concat([header(0xffff_ffff, 0, FrameType.Ping), Buffer.alloc(8)])]],
    ["a frame longer than its message", [Buffer.concat([header(9, 0, FrameType.Ping), Buffer.alloc(8)])]],
    ["DATA of its limit and one byte", [OPEN(12), frameOf(FrameType.Data, 0, 12, Buffer.alloc(65_537))]],
    [
      "more DATA than its window",
      [OPEN(12), ...Array.from({ length: 8 }, () => frameOf(FrameType.Data, 0, 12, Buffer.alloc(65_536)))],
    ],
    ["an unknown frame type", [frameOf(77, 0, 0, Buffer.alloc(0))]],
    ["an unknown flag", [frameOf(FrameType.Ping, 4, 0, Buffer.alloc(8))]],
    ["OPEN with a number of the agent's", [frameOf(FrameType.Open, FLAG_FIN, 3, openPayload("/get/odd"))]],
    ["OPEN with stream 0", [frameOf(FrameType.Open, FLAG_FIN, 0, openPayload("/get/zero"))]],
    ["OPEN with a number used before", [OPEN(14), OPEN(12)]],
    ["HEAD from the opener", [OPEN(12), frameOf(FrameType.Head, 0, 12, Buffer.from('[200,"",[]]'))]],
    ["DATA of a stream that never was", [frameOf(FrameType.Data, 0, 400, Buffer.alloc(1))]],
    ["OPEN without a head", [frameOf(FrameType.Open, FLAG_FIN, 12, Buffer.alloc(3))]],
    ["OPEN that is no JSON", [frameOf(FrameType.Open, FLAG_FIN, 12, Buffer.from("\0\0\0\x01{{{"))]],
    ["OPEN of 128 KiB of brackets", [frameOf(FrameType.Open, FLAG_FIN, 12, Buffer.alloc(131_072, "["))]],
    ["CONTROL with a wrong shape", [frameOf(FrameType.Control, 0, 0, Buffer.from('{"type":"bound","bind":-1}'))]],
    ["WINDOW of 7 bytes", [frameOf(FrameType.Window, 0, 0, Buffer.alloc(7))]],
    ["ACK of more than was sent", [frameOf(FrameType.Ack, 0, 0, encodeU48(1_000_000))]],
  ])("%s", async (_name, messages) => {
    const link = await nextLink();
    for (const message of messages) link.send(message);
    await link.closed();
    expectAlive();
  });

  it("a message longer than one largest frame", async () => {
    const link = await nextLink();
    link.send(Buffer.alloc(LIMITS.MESSAGE_BYTES_MAX + 1));
    await link.closed();
    expectAlive();
  });

  it("text", async () => {
    const link = await nextLink();
    link.ws.send("welcome");
    await link.closed();
    expectAlive();
  });

  it("fragments of one byte without end, and memory stays flat", { timeout: 30_000 }, async () => {
    const link = await nextLink();
    const before = memory();
    link.socket.write(webSocketFrame(2, Buffer.from("a"), { isFinal: false, isMasked: false }));
    const fragment = webSocketFrame(0, Buffer.from("a"), { isFinal: false, isMasked: false });
    const batch = Buffer.concat(Array.from({ length: 1_000 }, () => fragment));
    for (let sent = 0; sent < 100 && !link.isClosed; sent += 1) link.socket.write(batch);
    await link.closed();
    expect(memory() - before, "MiB grown").toBeLessThan(20);
    expectAlive();
  });

  it("a compressed bomb that nobody negotiated", async () => {
    const link = await nextLink();
    const before = memory();
    link.socket.write(webSocketFrame(2, deflateRawSync(Buffer.alloc(64 * 1_048_576)), { rsv1: true, isMasked: false }));
    await link.closed();
    expect(memory() - before, "MiB grown").toBeLessThan(20);
    expectAlive();
  });
});

describe("a head from the relay", () => {
  const head = (o: Partial<HttpOpenHead>): Buffer =>
    Buffer.concat([
      Buffer.from([0, 4, 0, 0]),
      Buffer.from(
        JSON.stringify([
          o.kind ?? "http",
          o.bind ?? 1,
          o.requestId ?? "r",
          o.method ?? "GET",
          o.target ?? "/get/never",
          o.version ?? "1.1",
          o.fields ?? [],
        ]),
      ),
    ]);

  it.each<[string, Buffer]>([
    ["CR LF in a value", head({ fields: ["X-A", "b\r\nX-B: c"] })],
    ["CR LF in a name", head({ fields: ["X-A: b\r\nX-B", "c"] })],
    ["CR LF in the target", head({ target: "/ HTTP/1.1\r\nX-B: c\r\n\r\n" })],
    ["a blank in the target", head({ target: "/get/never HTTP/1.1" })],
    ["CR LF in the method", head({ method: "GET / HTTP/1.1\r\nX-B: c\r\n\r\nGET" })],
    ["a character above U+00FF", head({ fields: ["X-A", "\u0100"] })],
    ["an odd list", head({ fields: ["X-A"] })],
    ["a target of 20 KB", head({ target: `/${"a".repeat(20_000)}` })],
    ["1,001 fields", head({ fields: Array.from({ length: 2_002 }, () => "a") })],
    ["another bind", head({ bind: 2 })],
  ])("with %s never reaches the app", async (_name, payload) => {
    const link = await nextLink();
    const seen = app.counts.get("never");
    link.send(frameOf(FrameType.Open, FLAG_FIN, 12, payload));
    await link.changes.until(
      "RESET or the end",
      () => link.isClosed || link.frames.some(({ type, stream }) => type === FrameType.Reset && stream === 12),
    );
    if (!link.isClosed) link.ws.terminate();
    expectAlive();
    expect(app.counts.get("never")).toBe(seen);
  });

  it.each(["http://169.254.169.254/latest", "//evil.example/x", "http://127.0.0.1:1/x"])(
    "with the target %s leads to the app of the command line, or nowhere",
    async (target) => {
      const link = await nextLink();
      link.send(frameOf(FrameType.Open, FLAG_FIN, 2, openPayload(target)));
      await link.changes.until(
        "HEAD, RESET or the end",
        () =>
          link.isClosed ||
          link.frames.some(
            ({ type, stream }) => stream === 12 && (type === FrameType.Head || type === FrameType.Reset),
          ),
      );
      if (!link.isClosed) link.ws.terminate();
      expectAlive();
    },
  );
});

describe("a handshake of the relay", () => {
  /** Answers one upgrade by hand. */
  async function once101(
    lines: (request: IncomingMessage) => string[],
    then?: (socket: Duplex) => void,
  ): Promise<void> {
    const changes = new Changes();
    let isClosed = false;
    relay.onUpgrade = (request, socket) => {
      relay.onUpgrade = undefined;
      const key = String(request.headers["sec-websocket-key"]);
      const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
      const head = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket"];
      for (const event of ["end", "close"]) {
        socket.on(event, () => {
          isClosed = true;
          socket.destroy();
          changes.notify();
        });
      }
      socket.resume();
      socket.write(`${[...head, `Sec-WebSocket-Accept: ${accept}`, ...lines(request)].join("\r\n")}\r\n\r\n`);
      then?.(socket);
    };
    // Agents that wait for their turn would not dial for a while.
    for (const link of relay.links) link.ws.terminate();
    await changes.until("the agent to close", () => isClosed, 20_000);
    relay.onUpgrade = undefined;
  }

  it.each<[string, string[]]>([
    [
      "with compression nobody offered",
      ["Sec-WebSocket-Protocol: ggrok.v1", "Sec-WebSocket-Extensions: permessage-deflate"],
    ],
    ["with another subprotocol", ["Sec-WebSocket-Protocol: chat"]],
    ["without a subprotocol", []],
    [
      "with 5,000 fields",
      ["Sec-WebSocket-Protocol: ggrok.v1", ...Array.from({ length: 5_000 }, (_, i) => `X-${i}: a`)],
    ],
  ])("%s is not accepted", { timeout: 40_000 }, async (_name, lines) => {
    // The connection before has to end first, so that the agent dials.
    await once101(() => lines);
    expectAlive();
  });

  it("that never says welcome is given up", { timeout: 40_000 }, async () => {
    const startedAt = performance.now();
    await once101(() => ["Sec-WebSocket-Protocol: ggrok.v1"]);
    expect(performance.now() - startedAt).toBeLessThan(15_000);
    expectAlive();
  });

  it.each<[string, (link: HostileLink) => void]>([
    ["a frame that is not CONTROL", (link) => link.send(frameOf(FrameType.Ping, 0, 0, Buffer.alloc(8)))],
    ["noise", (link) => link.send(Buffer.alloc(100, 7))],
    [
      "a welcome of a wrong shape",
      (link) => link.send(frameOf(FrameType.Control, 0, 0, Buffer.from('{"type":"welcome"}'))),
    ],
  ])("that answers hello with %s is left", { timeout: 40_000 }, async (_name, act) => {
    const link = await freshLink();
    await link.hello();
    act(link);
    await link.closed();
    expectAlive();
  });

  it("with a second welcome changes nothing for the first", async () => {
    const link = await nextLink();
    await link.welcome();
    const id = link.open("/get/good");
    await link.changes.until(
      "the answer, or the end",
      () => link.isClosed || link.frames.some(({ type, stream }) => type === FrameType.Head && stream === id),
    );
    link.ws.terminate();
    expectAlive();
  });
});
