import { describe, expect, it, vi } from "vitest";
import { GgrokError, ResetCode } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import type { ControlMessage } from "../message/control.ts";
import { encodeReset, encodeResponseHead } from "../wire/encode.ts";
import { FLAG_FIN, FrameType } from "../wire/frame.ts";
import { liveBytes } from "../wire/fuzz.testing.ts";
import { MemoryBudget } from "./memory-budget.ts";
import type { MuxStream } from "./mux-stream.ts";
import { Collector, OK, requestHead } from "./pair.testing.ts";
import { frame, openFrame, RawPeer, turn, windowFrame } from "./raw-peer.testing.ts";

const FLOOD = 100_000;
const reset = (id: number): Buffer => frame(FrameType.Reset, id, encodeReset(ResetCode.VisitorLeft, 0, ""));
const control = (json: string): Buffer => frame(FrameType.Control, 0, Buffer.from(json));
const earlyHints = encodeResponseHead({ status: 103, reason: "", fields: [] });

/** Says the n-th message of a flood until the session ends. @returns how many were taken */
function flood(peer: RawPeer, message: (n: number) => Buffer): number {
  let said = 0;
  while (said < FLOOD && peer.session.state !== "closed") {
    peer.say(message(said));
    said += 1;
  }
  return said;
}

describe("a flood that costs the peer nothing", () => {
  const floods: Record<string, (peer: RawPeer) => (n: number) => Buffer> = {
    PING: () => () => frame(FrameType.Ping, 0, Buffer.alloc(8)),
    "WINDOW of the session that raises nothing": () => () => windowFrame(0, 1),
    "WINDOW of a stream that raises nothing": (peer) => {
      const { id } = peer.session.open(requestHead(), new Collector(), { fin: false });
      return () => windowFrame(id, 0);
    },
    "CONTROL of an unknown type": () => () => control('{"type":"later"}'),
    "interim heads": (peer) => {
      const ids = Array.from(
        { length: 700 },
        () => peer.session.open(requestHead(), new Collector(), { fin: true }).id,
      );
      return (n) => frame(FrameType.Head, ids[Math.floor(n / LIMITS.INFORMATIONAL_HEADS_MAX)] ?? 0, earlyHints);
    },
    "OPEN and RESET": () => (n) => Buffer.concat([openFrame(2 * n + 1, 1_024), reset(2 * n + 1)]),
  };

  it.each(Object.entries(floods))("ends the listener's session: %s", (_name, prepare) => {
    const peer = new RawPeer("listener", {}, { localMaxStreams: 100 });
    const said = flood(peer, prepare(peer));
    expect(peer.ends).toEqual(["ERR_GGROK_FLOOD"]);
    expect(said).toBeGreaterThan(LIMITS.USELESS_FRAMES_MAX);
    expect(said).toBeLessThan(LIMITS.USELESS_FRAMES_MAX + 2 * LIMITS.PINGS_PER_SECOND_MAX);
  });

  it("is told from visitors who come and leave: the agent does not count the relay's resets", async () => {
    const peer = new RawPeer("dialler");
    expect(flood(peer, (n) => Buffer.concat([openFrame(2 * n + 2, 1_024), reset(2 * n + 2)]))).toBe(FLOOD);
    expect(peer.ends).toEqual([]);
    expect(peer.session.streamCount).toBe(0);
    await turn();
  });
});

describe("a peer that does not read", () => {
  it("makes no PONGs, WINDOWs or ACKs pile up, and gets the latest of each when it reads again", async () => {
    const peer = new RawPeer("dialler", {
      onStream: (stream) => {
        stream.handler = new Collector();
      },
    });
    peer.say(openFrame(2, 1_024));
    await turn();
    peer.isBlocked = true;
    peer.session.sendControl({ type: "unbind", bind: 1 }); // what tells the session that the link is full
    await turn();
    const before = peer.sent.length;
    const body = Buffer.alloc(1_024);
    for (let i = 0; i < 5_000; i += 1) {
      const payload = Buffer.alloc(8);
      payload.writeUInt32BE(i);
      // The upload is read on: its window is used up, a reason for WINDOW and ACK.
      peer.say(frame(FrameType.Ping, 0, payload), ...(i < 60 ? [frame(FrameType.Data, 2, body)] : []));
      if (i % 50 === 0) await turn();
    }
    expect(peer.sent.slice(before)).toEqual([]);
    peer.unblock();
    await turn();
    const late = peer.sent.slice(before);
    expect(late.filter((f) => f.type === FrameType.Pong).map((f) => f.payload.readUInt32BE(0))).toEqual([4_999]);
    for (const type of [FrameType.Window, FrameType.Ack]) {
      const sent = late.filter((f) => f.type === type);
      expect(new Set(sent.map((f) => f.stream)).size).toBe(sent.length);
    }
    expect(late.length).toBeLessThan(6);
    expect(peer.ends).toEqual([]);
  });
});

describe("a peer that opens more than it may", () => {
  const surplus = (n: number): Buffer => openFrame(2 * n + 4, 1_024);
  const full = (): RawPeer => {
    const peer = new RawPeer("dialler", {}, { localMaxStreams: 1 });
    peer.say(openFrame(2, 1_024));
    return peer;
  };

  it("ends its session when it does not read the refusals", () => {
    const peer = full();
    peer.isBlocked = true;
    const said = flood(peer, surplus);
    expect(peer.ends).toEqual(["ERR_GGROK_FLOOD"]);
    expect(said).toBeLessThan(FLOOD);
  });

  it("goes on being refused while it reads", async () => {
    const peer = full();
    expect(flood(peer, surplus)).toBe(FLOOD);
    await turn();
    expect(peer.ends).toEqual([]);
    expect(peer.sentOf(FrameType.Reset)).toHaveLength(FLOOD);
  });
});

describe("a stream that was held back while memory was short", () => {
  it("goes on when there is room again, though nothing arrives", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const relay = new MemoryBudget(1_024 * 1_024);
      const reader = new Collector();
      const peer = new RawPeer("dialler", { onStream: (stream) => (stream.handler = reader) }, { budget: relay });
      peer.say(openFrame(2, 1_024));
      relay.add(relay.limitBytes);
      while (reader.bytes < LIMITS.REQUEST_WINDOW_INITIAL_BYTES)
        peer.say(frame(FrameType.Data, 2, Buffer.alloc(4_096)));
      await turn();
      expect(peer.sentOf(FrameType.Window).filter((f) => f.stream === 2)).toEqual([]);
      relay.remove(relay.limitBytes);
      vi.advanceTimersByTime(LIMITS.STARVED_CHECK_MS);
      await turn();
      expect(peer.sentOf(FrameType.Window).filter((f) => f.stream === 2)).toHaveLength(1);
      peer.session.destroy(new GgrokError("ERR_GGROK_INTERNAL"));
      vi.advanceTimersByTime(2 * LIMITS.STARVED_CHECK_MS);
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("tiny DATA to readers that stand still", () => {
  it("costs 100 streams less than 64 MiB", () => {
    const streams = 100;
    const bytesEach = 64 * 1_024;
    const bytesAtOnce = 1_024;
    const peer = new RawPeer("listener");
    const readers = Array.from({ length: streams }, () => {
      const reader = new Collector();
      reader.isFull = true;
      return { reader, stream: peer.session.open(requestHead(), reader, { fin: true }) };
    });
    const head = encodeResponseHead(OK);
    const tiny = readers.map(({ stream }) => {
      peer.say(frame(FrameType.Head, stream.id, head));
      return Buffer.concat(new Array<Buffer>(bytesAtOnce).fill(frame(FrameType.Data, stream.id, Buffer.from("x"))));
    });
    const before = liveBytes();
    // `say` copies: every message is a buffer of its own, as from a socket, and views would keep all of it.
    for (let sent = 0; sent < bytesEach; sent += bytesAtOnce) for (const message of tiny) peer.say(message);
    expect(peer.ends).toEqual([]);
    expect(peer.session.heldBytes).toBe(streams * bytesEach);
    expect(liveBytes() - before).toBeLessThan(64 * 1_024 * 1_024);
    for (const { reader, stream } of readers) {
      reader.isFull = false;
      stream.resume();
      expect(reader.bytes).toBe(bytesEach);
    }
    expect(peer.session.heldBytes).toBe(0);
  });
});

describe("a session", () => {
  function answering(credit: number): { peer: RawPeer; stream: MuxStream } {
    let stream: MuxStream | undefined;
    const peer = new RawPeer("dialler", {
      onStream: (opened) => {
        opened.handler = new Collector();
        stream = opened;
      },
    });
    peer.say(openFrame(2, credit));
    if (stream === undefined) throw new Error("no stream");
    stream.sendHead(OK);
    return { peer, stream };
  }

  it("sends no DATA on credit 0, and all of it once there is some", async () => {
    const { peer, stream } = answering(0);
    stream.write(Buffer.from("abc"));
    stream.end();
    await turn();
    expect(peer.sentOf(FrameType.Data)).toEqual([]);
    peer.say(windowFrame(2, 1));
    await turn();
    peer.say(windowFrame(2, 3));
    await turn();
    expect(peer.sentOf(FrameType.Data).map((f) => [f.payload.toString(), f.flags])).toEqual([
      ["a", 0],
      ["bc", FLAG_FIN],
    ]);
  });

  it("ends an answer without a body on credit 0", async () => {
    const { peer, stream } = answering(0);
    stream.end();
    await turn();
    expect(peer.sent.filter((f) => f.stream === 2).map((f) => [f.type, f.flags])).toEqual([[FrameType.Head, FLAG_FIN]]);
  });

  it("takes messages of a later minor version: unknown keys are dropped, unknown types are answered by nothing", async () => {
    const heard: ControlMessage[] = [];
    const peer = new RawPeer("listener", { onControl: (message) => heard.push(message) });
    await turn();
    const before = peer.sent.length;
    peer.say(
      control('{"type":"teleport","to":{"x":[1]}}'),
      control('{"type":"unbind","bind":3,"reason":"later","__proto__":{"admin":true}}'),
      control('{"type":"drain","reason":"r","reconnect":"now","later":null}'),
    );
    await turn();
    expect(heard).toStrictEqual([
      { type: "unbind", bind: 3 },
      { type: "drain", reason: "r", reconnect: "now" },
    ]);
    expect(peer.sent.length).toBe(before);
    expect(peer.ends).toEqual([]);
  });

  it("ignores late frames of a stream that was reset, and counts their DATA for the session alone", async () => {
    const { peer, stream } = answering(1_024);
    stream.reset(ResetCode.UpstreamReset);
    // 512 KiB are twice the first session window: they pass only if credit comes back on receipt.
    for (let i = 0; i < 32; i += 1) {
      peer.say(frame(FrameType.Data, 2, Buffer.alloc(16_384)));
      await turn();
    }
    peer.say(windowFrame(2, 99_999), reset(2));
    expect(peer.ends).toEqual([]);
    expect(peer.session.heldBytes).toBe(0);
    expect(peer.sentOf(FrameType.Window).every((f) => f.stream === 0)).toBe(true);
  });
});
