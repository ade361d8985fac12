// A relay in front of agents that break the protocol: each loses its session, nobody else notices.
import { deflateRawSync } from "node:zlib";
import {
  encodeControlMessage,
  encodeOpenPayload,
  encodeResponseHead,
  encodeU48,
  FLAG_FIN,
  FrameType,
  LIMITS,
} from "@ggrok/protocol";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HELLO, RawAgent } from "../e2e/raw-agent.ts";
import { eventually, within } from "../harness/deadline.ts";
import { FaultWorld, rssMiB } from "../harness/fault-world.ts";
import { frameOf } from "../harness/hostile-relay.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ask, closeVisitors } from "../harness/visitors.ts";
import { RawWebSocket, webSocketFrame } from "./raw-websocket.ts";

let world: FaultWorld;
beforeAll(async () => {
  world = await FaultWorld.start({ name: "good", relayArgs: ["--park", "300ms"] });
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  closeVisitors();
});

const pid = (): number | undefined => world.relay.program.child.pid;

/** The relay lives, and an agent that did nothing wrong has kept its one session. */
async function expectUnharmed(): Promise<void> {
  expect(world.relay.program.child.exitCode, world.relay.program.stderr).toBeNull();
  expect((await world.ask("/")).status).toBe(200);
  expect(world.agent.events("session.online")).toHaveLength(1);
}

let count = 0;
async function online(): Promise<RawAgent> {
  count += 1;
  const [agent] = await RawAgent.online(world.relay.origin, {
    agentId: `bad-agent-${count}`,
    instance: `bad-instance-${count}`,
  });
  return agent;
}

/** An agent with one open exchange, of a visitor who reads nothing and whose request may go on. */
async function withStream(
  o: { isUploading?: boolean } = {},
): Promise<{ agent: RawAgent; id: number; visitor: RawClient }> {
  const agent = await online();
  const bound = await agent.bind({ url: `bad${count}` });
  if (bound.type !== "bound") throw new Error(bound.message);
  const framing = o.isUploading === true ? "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n" : "\r\n";
  const method = o.isUploading === true ? "POST" : "GET";
  const visitor = await RawClient.connect(world.relay.port, {
    first: `${method} / HTTP/1.1\r\nHost: ${new URL(bound.url).host}\r\n${framing}`,
  });
  visitor.socket.pause();
  const { id } = await agent.opened();
  return { agent, id, visitor };
}

function header(length: number, stream: number, type: number, flags = 0): Buffer {
  const bytes = Buffer.alloc(10);
  bytes.writeUInt32BE(length, 0);
  bytes.writeUInt32BE(stream, 4);
  bytes[8] = type;
  bytes[9] = flags;
  return bytes;
}

const HEAD_200 = encodeResponseHead({ status: 200, reason: "", fields: [] });

describe("a message ends the session of who sent it:", () => {
  it.each<[string, Buffer]>([
    ["empty", Buffer.alloc(0)],
    ...[1, 4, 8, 9].map((cut): [string, Buffer] => [
      `a header cut after ${cut} bytes`,
      header(8, 0, FrameType.Ping).subarray(0, cut),
    ]),
    ["a frame longer than its message by one byte", Buffer.concat([header(9, 0, FrameType.Ping), Buffer.alloc(8)])],
    ["a frame of 2^32 - 1 bytes", Buffer.concat([header(0xffff_ffff, 0, FrameType.Ping), Buffer.alloc(8)])],
    ["a frame of 2^31 bytes", Buffer.concat([header(0x8000_0000, 0, FrameType.Ping), Buffer.alloc(8)])],
    [
      "a control frame of its limit and one byte",
      frameOf(FrameType.Control, 0, 0, Buffer.alloc(LIMITS.CONTROL_BYTES_MAX + 1, " ")),
    ],
    ["bytes behind the last frame", Buffer.concat([frameOf(FrameType.Ping, 0, 0, Buffer.alloc(8)), Buffer.alloc(3)])],
    ["frame type 11", frameOf(11, 0, 0, Buffer.alloc(0))],
    ["frame type 255", frameOf(255, 0, 0, Buffer.alloc(0))],
    ["an unknown flag", frameOf(FrameType.Ping, 2, 0, Buffer.alloc(8))],
    ["all flags", frameOf(FrameType.Ping, 255, 0, Buffer.alloc(8))],
    ["PING of 0 bytes", frameOf(FrameType.Ping, 0, 0, Buffer.alloc(0))],
    ["PING of 9 bytes", frameOf(FrameType.Ping, 0, 0, Buffer.alloc(9))],
    ["PING on a stream", frameOf(FrameType.Ping, 0, 2, Buffer.alloc(8))],
    ["WINDOW of 5 bytes", frameOf(FrameType.Window, 0, 0, Buffer.alloc(5))],
    ["ACK of more than was sent", frameOf(FrameType.Ack, 0, 0, encodeU48(1_000_000))],
    ["CONTROL that is no JSON", frameOf(FrameType.Control, 0, 0, Buffer.from("{"))],
    ["CONTROL that is a list", frameOf(FrameType.Control, 0, 0, Buffer.from("[]"))],
    ["CONTROL of 16 KiB of brackets", frameOf(FrameType.Control, 0, 0, Buffer.alloc(16_384, "["))],
    ["CONTROL with a wrong shape", frameOf(FrameType.Control, 0, 0, Buffer.from('{"type":"bind","bind":"x"}'))],
    ["CONTROL on a stream", frameOf(FrameType.Control, 0, 2, Buffer.from('{"type":"x"}'))],
    ["DATA of a stream that never was", frameOf(FrameType.Data, 0, 4_000, Buffer.alloc(1))],
    ["HEAD of a stream that never was", frameOf(FrameType.Head, 0, 4_000, HEAD_200)],
    ["RESET of a stream that never was", frameOf(FrameType.Reset, 0, 4_000, Buffer.from([0, 1, 0]))],
    ["DATA of stream 0", frameOf(FrameType.Data, 0, 0, Buffer.alloc(1))],
    [
      "OPEN with a number of the relay's",
      frameOf(FrameType.Open, FLAG_FIN, 2, encodeOpenPayload(1_000, { kind: "tcp", bind: 1, requestId: "r" })),
    ],
    [
      "OPEN by one that may open nothing",
      frameOf(FrameType.Open, FLAG_FIN, 1, encodeOpenPayload(1_000, { kind: "tcp", bind: 1, requestId: "r" })),
    ],
    ["a second hello", encodeControlMessage(HELLO)],
  ])("%s", async (_name, message) => {
    const agent = await online();
    agent.ws.send(message);
    const { code } = await within("the relay to close", agent.closed);
    expect(code).not.toBe(1_000);
    expect(code).not.toBe(1_006);
    await expectUnharmed();
  });

  it("longer than one largest frame", async () => {
    const agent = await online();
    agent.ws.send(Buffer.alloc(LIMITS.MESSAGE_BYTES_MAX + 1));
    expect((await within("the relay to close", agent.closed)).code).toBe(1_009);
    await expectUnharmed();
  });

  it("text", async () => {
    const agent = await online();
    agent.ws.send("hello");
    expect((await within("the relay to close", agent.closed)).code).toBe(1_003);
    await expectUnharmed();
  });
});

describe("on an open stream, the session ends at", () => {
  it.each<[string, (id: number) => Buffer[]]>([
    ["DATA before HEAD", (id) => [frameOf(FrameType.Data, 0, id, Buffer.alloc(1))]],
    [
      "empty DATA without FIN",
      (id) => [frameOf(FrameType.Head, 0, id, HEAD_200), frameOf(FrameType.Data, 0, id, Buffer.alloc(0))],
    ],
    [
      "DATA of its limit and one byte",
      (id) => [frameOf(FrameType.Head, 0, id, HEAD_200), frameOf(FrameType.Data, 0, id, Buffer.alloc(65_537))],
    ],
    [
      "more DATA than its window",
      (id) => [
        frameOf(FrameType.Head, 0, id, HEAD_200),
        ...Array.from({ length: 400 }, () => frameOf(FrameType.Data, 0, id, Buffer.alloc(65_536))),
      ],
    ],
    ["two final HEADs", (id) => [frameOf(FrameType.Head, 0, id, HEAD_200), frameOf(FrameType.Head, 0, id, HEAD_200)]],
    [
      "DATA behind FIN",
      (id) => [frameOf(FrameType.Head, FLAG_FIN, id, HEAD_200), frameOf(FrameType.Data, 0, id, Buffer.alloc(1))],
    ],
    ["HEAD that is no JSON", (id) => [frameOf(FrameType.Head, 0, id, Buffer.from("["))]],
    ["HEAD of 128 KiB of brackets", (id) => [frameOf(FrameType.Head, 0, id, Buffer.alloc(131_072, "["))]],
    ["RESET of 2 bytes", (id) => [frameOf(FrameType.Reset, 0, id, Buffer.alloc(2))]],
    ["RESET with too many words", (id) => [frameOf(FrameType.Reset, 0, id, Buffer.alloc(300, "a"))]],
    [
      "1xx with FIN",
      (id) => [frameOf(FrameType.Head, FLAG_FIN, id, encodeResponseHead({ status: 103, reason: "", fields: [] }))],
    ],
  ])("%s", async (name, messages) => {
    const { agent, id, visitor } = await withStream({ isUploading: name.includes("FIN") });
    await using _visitor = visitor;
    for (const message of messages(id)) agent.ws.send(message);
    await within("the relay to close", agent.closed);
    await expectUnharmed();
  });

  it("nothing when DATA is as long as allowed", async () => {
    const { agent, id, visitor } = await withStream();
    await using _visitor = visitor;
    agent.ws.send(frameOf(FrameType.Head, 0, id, HEAD_200));
    agent.ws.send(frameOf(FrameType.Data, FLAG_FIN, id, Buffer.alloc(65_536)));
    agent.ws.send(frameOf(FrameType.Ping, 0, 0, Buffer.from("pingping")));
    await eventually(
      () => "PONG",
      () => agent.frames.some(({ type }) => type === FrameType.Pong),
    );
    agent.terminate();
  });
});

describe("a head from the agent that would break the visitor's connection", () => {
  it.each<[string, string]>([
    ["CR LF in a value", '[200,"",["X-A","b\\u000d\\u000aX-B: c"]]'],
    ["CR LF in a name", '[200,"",["X-A: b\\r\\nX-B","c"]]'],
    ["CR LF in the reason", '[200,"OK\\r\\nX-B: c",[]]'],
    ["NUL in a value", '[200,"",["X-A","b\\u0000"]]'],
    ["a character above U+00FF", '[200,"",["X-A","\\u0100"]]'],
    ["an odd list", '[200,"",["X-A"]]'],
    ["status 99", '[99,"",[]]'],
    ["status 1000", '[1000,"",[]]'],
    ["an empty name", '[200,"",["","b"]]'],
    ["1,001 fields", JSON.stringify([200, "", Array.from({ length: 2_002 }, () => "a")])],
  ])("%s: never reaches it", async (_name, json) => {
    const agent = await online();
    const bound = await agent.bind({ url: `head${count}` });
    if (bound.type !== "bound") throw new Error(bound.message);
    const answer = ask({ port: world.relay.port, host: new URL(bound.url).host }, "/", {
      headers: { connection: "close" },
    });
    const { id } = await agent.opened();
    agent.frame(FrameType.Head, FLAG_FIN, id, Buffer.from(json));
    if (agent.ws.readyState === agent.ws.OPEN) {
      // Either the stream or the session ends; with the session lost the visitor would wait for it to come back.
      void agent.closed.then(() => agent.terminate());
    }
    const got = await answer;
    expect([502, 503], String(got.body)).toContain(got.status);
    expect(got.headers["x-b"]).toBeUndefined();
    agent.terminate();
    await expectUnharmed();
  });
});

describe("WebSocket fragments", () => {
  it("of one byte without end are cut off, and memory stays flat", { timeout: 30_000 }, async () => {
    const before = rssMiB(pid());
    for (let round = 0; round < 3; round += 1) {
      await using raw = await RawWebSocket.connect(world.relay.port);
      expect(raw.status).toBe(101);
      await raw.send(webSocketFrame(2, Buffer.from("a"), { isFinal: false }));
      const fragment = webSocketFrame(0, Buffer.from("a"), { isFinal: false });
      const batch = Buffer.concat(Array.from({ length: 1_000 }, () => fragment));
      for (let sent = 0; sent < 100 && raw.reader.end === "open"; sent += 1) await raw.send(batch);
      await raw.reader.ended();
    }
    expect(rssMiB(pid()) - before, "MiB grown").toBeLessThan(20);
    await expectUnharmed();
  });

  it("of 16 bytes up to 10 MB are cut off, and memory stays flat", { timeout: 30_000 }, async () => {
    const before = rssMiB(pid());
    await using raw = await RawWebSocket.connect(world.relay.port);
    await raw.send(webSocketFrame(2, Buffer.alloc(16), { isFinal: false }));
    const batch = Buffer.concat(
      Array.from({ length: 1_000 }, () => webSocketFrame(0, Buffer.alloc(16), { isFinal: false })),
    );
    for (let sent = 0; sent < 655 && raw.reader.end === "open"; sent += 1) await raw.send(batch);
    await raw.reader.ended();
    expect(rssMiB(pid()) - before, "MiB grown").toBeLessThan(20);
    await expectUnharmed();
  });
});

describe("compression of the control connection", () => {
  it("is not negotiated, and a compressed bomb ends the connection", async () => {
    await using raw = await RawWebSocket.connect(world.relay.port, [
      "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
    ]);
    expect(raw.status).toBe(101);
    expect(raw.head.raw.toString("latin1").toLowerCase()).not.toContain("sec-websocket-extensions");
    const before = rssMiB(pid());
    await raw.send(webSocketFrame(2, deflateRawSync(Buffer.alloc(64 * 1_048_576)), { rsv1: true }));
    await raw.reader.ended();
    expect(rssMiB(pid()) - before, "MiB grown").toBeLessThan(20);
    await expectUnharmed();
  });
});

describe("a handshake", () => {
  it.each<[string, string[], number[]]>([
    ["another subprotocol", ["Sec-WebSocket-Protocol: ggrok.v99"], [400, 426]],
    ["no subprotocol", ["Sec-WebSocket-Protocol: "], [400, 426]],
    ["5,000 fields", Array.from({ length: 5_000 }, (_, i) => `X-${i}: a`), [431]],
    ["a foreign Origin", ["Origin: https://evil.example"], [403]],
    ["an unmasked first frame", [], [101]],
  ])("with %s is refused", async (name, lines, statuses) => {
    await using raw = await RawWebSocket.connect(world.relay.port, lines);
    expect(statuses).toContain(raw.status);
    if (name.startsWith("an unmasked")) await raw.send(webSocketFrame(2, Buffer.from("x"), { isMasked: false }));
    await raw.reader.ended(3_000);
    await expectUnharmed();
  });

  it("without hello is over after 5 s", { timeout: 15_000 }, async () => {
    const startedAt = performance.now();
    const agent = await RawAgent.dial(world.relay.origin);
    await within("the relay to close", agent.closed, 8_000);
    const tookMs = performance.now() - startedAt;
    expect(tookMs).toBeGreaterThan(4_000);
    expect(tookMs).toBeLessThan(7_000);
    await expectUnharmed();
  });
});

it("floods that cost nothing to send end the session of who sends them", { timeout: 60_000 }, async () => {
  for (const frame of [
    frameOf(FrameType.Ping, 0, 0, Buffer.alloc(8)),
    frameOf(FrameType.Window, 0, 0, encodeU48(1)),
    frameOf(FrameType.Control, 0, 0, Buffer.from('{"type":"news"}')),
  ]) {
    const agent = await online();
    const batch = Buffer.concat(Array.from({ length: 100 }, () => frame));
    const times: number[] = [];
    for (let sent = 0; sent < 1_000 && agent.ws.readyState === agent.ws.OPEN; sent += 1) {
      await new Promise<void>((resolve) => agent.ws.send(batch, () => resolve()));
      if (sent % 20 !== 0) continue;
      const startedAt = performance.now();
      await expectUnharmed();
      times.push(performance.now() - startedAt);
    }
    await within("the relay to close", agent.closed);
    expect(Math.max(...times), "ms of the slowest good request").toBeLessThan(1_000);
  }
});
