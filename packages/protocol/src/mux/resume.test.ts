import { describe, expect, it } from "vitest";
import { GgrokError } from "../errors.ts";
import {
  Collector,
  createPair,
  isPoured,
  OK,
  type PairOptions,
  pour,
  requestHead,
  type SessionPair,
  turns,
} from "./pair.testing.ts";

const TOTAL = 300_000;

/** The recorded run: downloads, uploads and small exchanges at once; the link may break at a given byte of either end. */
async function run(o: { cutRelayAt?: number; cutAgentAt?: number; every?: number } = {}): Promise<{
  pair: SessionPair;
  sent: number;
  opened: number;
  bodies: boolean[];
  breaks: number;
}> {
  let opened = 0;
  let breaks = 0;
  const uploads: Collector[] = [];
  const options: PairOptions = {
    onStream: (stream, head) => {
      opened += 1;
      const app = new Collector();
      uploads.push(app);
      stream.handler = app;
      const target = head.kind === "tcp" ? "" : head.target;
      stream.sendHead(OK);
      pour(stream, app, target === "/small" ? 700 : TOTAL, target === "/small" ? 700 : 65_536);
    },
    onRelayState: (state) => {
      if (state !== "lost") return;
      breaks += 1;
      setImmediate(() => {
        if (pair.agent.state === "lost" && pair.relay.state === "lost") {
          pair.reconnect();
          arm();
        } else if (pair.relay.state === "lost") {
          void turns(() => pair.agent.state === "lost").then(() => {
            pair.reconnect();
            arm();
          });
        }
      });
    },
  };
  const pair = createPair(options);
  const arm = (): void => {
    if (o.every === undefined) return;
    pair.relayEnd.cutAfterBytes(o.every);
    pair.agentEnd.cutAfterBytes(o.every);
  };
  arm();
  if (o.cutRelayAt !== undefined) pair.relayEnd.cutAfterBytes(o.cutRelayAt);
  if (o.cutAgentAt !== undefined) pair.agentEnd.cutAfterBytes(o.cutAgentAt);
  const { agentEnd } = pair;
  const visitors = ["/down", "/small", "/up", "/small"].map((target) => {
    const visitor = new Collector();
    const isUpload = target === "/up";
    const stream = pair.relay.open(requestHead(target, isUpload ? "POST" : "GET"), visitor, { fin: !isUpload });
    if (isUpload) pour(stream, visitor, TOTAL, 20_000);
    return { target, visitor };
  });
  await Promise.all(visitors.map(({ visitor }) => visitor.until(() => visitor.isEnded || visitor.resets.length > 0)));
  await turns(() => pair.relay.streamCount === 0 && pair.agent.streamCount === 0);
  const bodies = visitors.map(({ target, visitor }) => isPoured(visitor.body, target === "/small" ? 700 : TOTAL));
  bodies.push(uploads.some((app) => isPoured(app.body, TOTAL)));
  return { pair, sent: agentEnd.sentBytes, opened, bodies, breaks };
}

describe("a session whose link breaks", () => {
  it("is byte-equal to the uncut run wherever the agent's side is cut", async () => {
    const uncut = await run();
    expect(uncut.bodies.every(Boolean)).toBe(true);
    const step = Math.ceil(uncut.sent / 120);
    for (let at = 1; at < uncut.sent; at += step) {
      const cut = await run({ cutAgentAt: at });
      expect(cut.breaks, `cut after ${at} bytes`).toBe(1);
      expect(cut.bodies, `cut after ${at} bytes`).toEqual([true, true, true, true, true]);
      expect(cut.opened, `cut after ${at} bytes`).toBe(4);
    }
  }, 60_000);

  it("is byte-equal at every early byte of the relay's side", async () => {
    for (let at = 1; at < 1_500; at += 13) {
      const cut = await run({ cutRelayAt: at });
      expect(cut.bodies, `cut after ${at} bytes`).toEqual([true, true, true, true, true]);
      expect(cut.opened, `cut after ${at} bytes`).toBe(4);
    }
  }, 60_000);

  it("gets through a link that breaks again and again", async () => {
    const cut = await run({ every: 150_000 });
    expect(cut.bodies).toEqual([true, true, true, true, true]);
    expect(cut.breaks).toBeGreaterThan(3);
    expect(cut.opened).toBe(4);
  }, 60_000);

  it("holds few small messages, however slowly they come", async () => {
    let ended = 0;
    const pair = createPair({
      onStream: (stream) => {
        stream.sendHead(OK);
        stream.end();
        ended += 1;
      },
    });
    let most = 0;
    for (let i = 1; i <= 500; i += 1) {
      pair.relay.open(requestHead(), new Collector(), { fin: true });
      await turns(() => ended === i);
      most = Math.max(most, pair.relay.retainedBytes);
    }
    // A request's head takes some hundred bytes; without a bound by messages 64 KiB of them are held.
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThan(8_192);
    expect(pair.relay.state).toBe("open");
  });

  it("holds fewer where acknowledgements can go along with something", async () => {
    let ended = 0;
    const pair = createPair({
      onStream: (stream) => {
        stream.sendHead(OK);
        stream.end();
      },
    });
    await turns(() => pair.relay.rttMs !== undefined);
    let most = 0;
    for (let i = 1; i <= 200; i += 1) {
      const visitor = new Collector();
      pair.relay.open(requestHead(), visitor, { fin: true });
      await visitor.until(() => visitor.isEnded);
      ended += 1;
      // What the relay holds of its own: the agent's answer to the eighth message carries the acknowledgement of all before.
      most = Math.max(most, pair.relay.retainedBytes);
    }
    expect(ended).toBe(200);
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThan(1_000);
  });

  it("keeps what a peer that never acknowledges forces it to keep within its bound, then gives resuming up", async () => {
    const pair = createPair({
      onStream: (stream) => {
        const app = new Collector();
        stream.handler = app;
        stream.sendHead(OK);
        pour(stream, app, 40 * 1024 * 1024, 65_536);
      },
    });
    // Swallow the relay's acknowledgements: frame type 10.
    const { handler } = pair.agentEnd;
    pair.agentEnd.handler = {
      ...handler,
      onMessage: (message) => {
        const kept: Buffer[] = [];
        for (let at = 0; at < message.length; ) {
          const end = at + 10 + message.readUInt32BE(at);
          if (message[at + 8] !== 10) kept.push(message.subarray(at, end));
          at = end;
        }
        if (kept.length > 0) handler.onMessage(Buffer.concat(kept));
      },
      onDrain: () => handler.onDrain(),
      onClose: (code, reason) => handler.onClose(code, reason),
    };
    const visitor = new Collector();
    pair.relay.open(requestHead(), visitor, { fin: true });
    let most = 0;
    await turns(() => {
      most = Math.max(most, pair.agent.retainedBytes);
      return visitor.isEnded;
    }, 200_000);
    expect(most).toBeLessThan(17 * 1024 * 1024);
    expect(most).toBeGreaterThan(8 * 1024 * 1024);
    expect(pair.agent.isResumable).toBe(false);
    expect(visitor.bytes).toBe(40 * 1024 * 1024);
  }, 60_000);

  it("delivers nothing of the old connection after the new one took over", async () => {
    const bodies: string[] = [];
    const pair = createPair({
      onStream: (stream, head) => {
        stream.handler = new Collector();
        bodies.push(head.kind === "tcp" ? "" : head.target);
        stream.sendHead(OK, true);
      },
    });
    await turns(() => pair.relay.rttMs !== undefined);
    const old = pair.agentEnd.handler;
    const late: Buffer[] = [];
    pair.agentEnd.handler = { ...old, onMessage: (m) => late.push(m), onDrain() {}, onClose() {} };
    for (let i = 0; i < 200; i += 1) {
      pair.relay.open(requestHead(`/${i}`), new Collector(), { fin: true });
      if (i % 20 === 0) await new Promise<void>((resolve) => setImmediate(resolve));
    }
    await turns(() => late.length > 3);
    pair.reconnect();
    await turns(() => bodies.length === 200);
    // The fenced transport may still hold messages: its handler no longer leads to the session.
    expect(pair.agent.state).toBe("open");
    expect(new Set(bodies).size).toBe(200);
  });

  it("refuses a peer that claims to have received more than was sent", async () => {
    const pair = createPair();
    await turns(() => pair.relay.rttMs !== undefined);
    pair.relay.detach();
    const received = pair.agent.detach();
    expect(() => pair.relay.attach(pair.relayEnd, { peerReceived: received + 1_000 })).toThrow(GgrokError);
  });

  it("marks as not processed only what the peer's account allows when the session cannot be carried on", async () => {
    const pair = createPair({
      relay: { resumable: false },
      agent: { resumable: false },
      onStream: (stream, head) => {
        stream.handler = new Collector();
        stream.dispatched = head.kind !== "tcp" && head.target === "/given";
      },
    });
    const given = new Collector();
    const kept = new Collector();
    pair.relay.open(requestHead("/given"), given, { fin: true });
    pair.relay.open(requestHead("/kept"), kept, { fin: true });
    await turns(() => pair.agent.lastRemoteId === 4);
    const late = new Collector();
    pair.relay.open(requestHead("/late"), late, { fin: true });
    pair.agentEnd.cut();
    await turns(() => pair.relay.state === "lost" && pair.agent.state === "closed");
    const account = { lastStream: 4, undispatched: [...pair.agent.undispatched()] };
    pair.relay.destroy(new GgrokError("ERR_GGROK_SESSION_LOST"), account);
    expect(given.resets.map((reset) => reset.notProcessed)).toEqual([false]);
    expect(kept.resets.map((reset) => reset.notProcessed)).toEqual([true]);
    expect(late.resets.map((reset) => reset.notProcessed)).toEqual([true]);
  });
});
