import { describe, expect, it, vi } from "vitest";
import { ResetCode } from "../errors.ts";
import type { OpenHead } from "../message/exchange.ts";
import type { MuxStream } from "./mux-stream.ts";
import { Collector, createPair, isPoured, OK, pour, requestHead, turns } from "./pair.testing.ts";

describe("Session", () => {
  it("carries a small exchange in one message each way", async () => {
    const pair = createPair({
      onStream: (stream) => {
        stream.handler = new Collector();
        stream.sendHead(OK);
        stream.write(Buffer.from("hello"));
        stream.end();
      },
    });
    await turns(() => pair.relay.rttMs !== undefined);
    const visitor = new Collector();
    const before = pair.agentEnd.sentMessages;
    pair.relay.open(requestHead(), visitor, { fin: true });
    await visitor.until(() => visitor.isEnded);
    expect(visitor.heads).toEqual([OK]);
    expect(visitor.body.toString()).toBe("hello");
    expect(visitor.chunks).toHaveLength(1);
    expect(pair.agentEnd.sentMessages - before).toBeLessThanOrEqual(2); // the answer, and perhaps a PONG
    expect(pair.relay.streamCount).toBe(0);
    await turns(() => pair.agent.streamCount === 0);
  });

  // As characters: what fits any message, what fits one only by its bytes, and what goes out by itself.
  it.each([10, 200, 21_000, 22_000, 40_000, 60_000])(
    "carries heads of %i bytes beyond ASCII, among others",
    async (size) => {
      const fields = ["X-Large", "\u00ff".repeat(size), "X-Text", `"\\ \t${"a".repeat(size / 10)}`];
      const heard: OpenHead[] = [];
      const pair = createPair({
        onStream: (stream, head) => {
          heard.push(head);
          stream.handler = new Collector();
          stream.sendHead({ ...OK, fields });
          stream.end(Buffer.from("whole"));
        },
      });
      const visitors = Array.from({ length: 3 }, () => new Collector());
      for (const visitor of visitors) pair.relay.open({ ...requestHead(), fields }, visitor, { fin: true });
      for (const visitor of visitors) {
        await visitor.until(() => visitor.isEnded);
        expect(visitor.heads).toEqual([{ ...OK, fields }]);
        expect(visitor.body.toString()).toBe("whole");
      }
      expect(heard).toEqual(Array(3).fill({ ...requestHead(), fields }));
    },
  );

  it("refuses a head that no frame can carry, and takes the next one", async () => {
    const fields = ["X-Large", "\u00ff".repeat(70_000)];
    let refusal: unknown;
    const pair = createPair({
      onStream: (stream) => {
        stream.handler = new Collector();
        try {
          stream.sendHead({ ...OK, fields });
        } catch (error) {
          refusal = error;
        }
        stream.sendHead(OK, true);
      },
    });
    const tooLarge = expect.objectContaining({ code: "ERR_GGROK_HEAD_INVALID" });
    expect(() => pair.relay.open({ ...requestHead(), fields }, new Collector(), { fin: true })).toThrow(tooLarge);
    const visitor = new Collector();
    pair.relay.open(requestHead(), visitor, { fin: true });
    await visitor.until(() => visitor.isEnded);
    expect(refusal).toEqual(tooLarge);
    expect(visitor.heads).toEqual([OK]);
  });

  it("streams bodies both ways at once with half-close", async () => {
    const total = 3 * 1024 * 1024 + 17;
    const app = new Collector();
    const pair = createPair({
      onStream: (stream) => {
        stream.handler = app;
        stream.sendHead(OK);
        pour(stream, app, total, 65_536);
      },
    });
    const visitor = new Collector();
    const stream = pair.relay.open(requestHead("/", "POST"), visitor, { fin: false });
    pour(stream, visitor, total, 10_000);
    await Promise.all([visitor.until(() => visitor.isEnded), app.until(() => app.isEnded)]);
    expect(isPoured(visitor.body, total)).toBe(true);
    expect(isPoured(app.body, total)).toBe(true);
    await turns(() => pair.relay.streamCount === 0 && pair.agent.streamCount === 0);
    expect(pair.relay.heldBytes).toBe(0);
    expect(pair.agent.heldBytes).toBe(0);
  });

  it("delivers interim heads, the final head and trailers in order", async () => {
    const app = new Collector();
    const pair = createPair({
      onStream: (stream) => {
        stream.handler = app;
        stream.sendHead({ status: 103, reason: "Early Hints", fields: ["Link", "</a>"] });
        stream.sendHead(OK);
        stream.write(Buffer.from("x"));
        stream.sendTrailers(["X-Sum", "1"]);
      },
    });
    const visitor = new Collector();
    const stream = pair.relay.open(requestHead("/", "POST"), visitor, { fin: false });
    stream.sendTrailers(["X-Up", "2"]);
    await Promise.all([visitor.until(() => visitor.isEnded), app.until(() => app.isEnded)]);
    expect(visitor.heads.map((head) => head.status)).toEqual([103, 200]);
    expect(visitor.trailers).toEqual(["X-Sum", "1"]);
    expect(app.trailers).toEqual(["X-Up", "2"]);
  });

  it("lets a stalled reader hold its window and no more, while others go on", async () => {
    const apps: MuxStream[] = [];
    const pair = createPair({
      onStream: (stream) => {
        const app = new Collector();
        stream.handler = app;
        stream.sendHead(OK);
        apps.push(stream);
        pour(stream, app, 1024 * 1024, 65_536);
      },
    });
    const stalled = Array.from({ length: 40 }, () => {
      const visitor = new Collector();
      visitor.isFull = true;
      pair.relay.open(requestHead(), visitor, { fin: true });
      return visitor;
    });
    const reader = new Collector();
    pair.relay.open(requestHead(), reader, { fin: true });
    await reader.until(() => reader.isEnded);
    expect(isPoured(reader.body, 1024 * 1024)).toBe(true);
    await turns(() => apps.slice(0, 40).every((stream) => stream.bytesOut === 262_144));
    expect(pair.relay.heldBytes).toBe(40 * 262_144);
    expect(stalled.every((visitor) => visitor.bytes <= 65_536)).toBe(true);
  });

  it("gives the whole answer and stops the upload when the app answers early", async () => {
    const app = new Collector();
    const pair = createPair({
      onStream: (stream) => {
        stream.handler = app;
        stream.sendHead({ status: 413, reason: "Payload Too Large", fields: [] });
        stream.end(Buffer.alloc(500_000, "n"));
        stream.reset(ResetCode.StopSending);
      },
    });
    const visitor = new Collector();
    const stream = pair.relay.open(requestHead("/", "POST"), visitor, { fin: false });
    pour(stream, visitor, 10 * 1024 * 1024, 65_536);
    await visitor.until(() => visitor.isEnded && visitor.stops === 1);
    expect(visitor.bytes).toBe(500_000);
    expect(visitor.resets).toEqual([]);
    expect(pair.relay.streamCount).toBe(0);
    expect(pair.agent.streamCount).toBe(0);
    expect(pair.agent.heldBytes).toBe(0);
  });

  it("tells the app at once that the visitor left, and ignores what is still on its way", async () => {
    const app = new Collector();
    const pair = createPair({
      onStream: (stream) => {
        stream.handler = app;
        stream.sendHead(OK);
        pour(stream, app, 10 * 1024 * 1024, 65_536);
      },
    });
    const visitor = new Collector();
    const stream = pair.relay.open(requestHead(), visitor, { fin: true });
    await visitor.until(() => visitor.bytes > 100_000);
    stream.reset(ResetCode.VisitorLeft);
    await app.until(() => app.resets.length === 1);
    expect(app.resets[0]?.code).toBe(ResetCode.VisitorLeft);
    const next = new Collector();
    pair.relay.open(requestHead(), next, { fin: true });
    await next.until(() => next.isEnded);
    expect(isPoured(next.body, 10 * 1024 * 1024)).toBe(true);
  });

  it("returns session credit to its start after 10,000 random resets", async () => {
    const pair = createPair({
      onStream: (stream) => {
        const app = new Collector();
        stream.handler = app;
        stream.sendHead(OK);
        pour(stream, app, 40_000, 9_000);
      },
    });
    for (let round = 0; round < 100; round += 1) {
      for (let i = 0; i < 100; i += 1) {
        const visitor = new Collector();
        const stream = pair.relay.open(requestHead(), visitor, { fin: true });
        if (i % 3 === 0) stream.reset(ResetCode.VisitorLeft);
        else if (i % 3 === 1)
          void visitor.until(() => visitor.bytes > 0).then(() => stream.reset(ResetCode.VisitorLeft));
      }
      await turns(() => pair.relay.streamCount === 0 && pair.agent.streamCount === 0);
    }
    await turns(() => pair.agent.windows.sendCredit >= 96 * 1024);
    expect(pair.relay.heldBytes).toBe(0);
    expect(pair.relay.state).toBe("open");
  });

  it("drains: open exchanges end, then both sides close", async () => {
    let closedCode = "";
    const streams: MuxStream[] = [];
    const pair = createPair({
      onStream: (stream) => {
        stream.handler = new Collector();
        streams.push(stream);
        stream.sendHead(OK);
      },
      onRelayClosed: (error) => {
        closedCode = error.code;
      },
    });
    const visitor = new Collector();
    pair.relay.open(requestHead(), visitor, { fin: true });
    await visitor.until(() => visitor.heads.length === 1);
    const closed = pair.agent.close(10_000);
    await turns(() => pair.relay.state === "draining");
    expect(pair.relay.canOpen).toBe(false);
    streams[0]?.end(Buffer.from("done"));
    await closed;
    await visitor.until(() => visitor.isEnded);
    expect(visitor.body.toString()).toBe("done");
    expect(visitor.resets).toEqual([]);
    await turns(() => closedCode !== "");
  });

  it("asks to be replaced when its ids run out and serves what is opened meanwhile", async () => {
    const controls: string[] = [];
    const pair = createPair({
      relay: { firstId: 2 ** 31 - 100 },
      onControl: (message) => controls.push(message.type),
      onStream: (stream) => {
        stream.handler = new Collector();
        stream.sendHead(OK, true);
      },
    });
    for (let i = 0; i < 49; i += 1) {
      const visitor = new Collector();
      pair.relay.open(requestHead(), visitor, { fin: true });
      await visitor.until(() => visitor.isEnded);
    }
    expect(controls).toEqual(["drain"]);
    expect(pair.relay.canOpen).toBe(true);
    pair.relay.open(requestHead(), new Collector(), { fin: true });
    expect(pair.relay.canOpen).toBe(false);
  });

  it("keeps one-byte chunks for a stalled reader without pinning read buffers", async () => {
    let app: MuxStream | undefined;
    const pair = createPair({
      onStream: (stream) => {
        stream.handler = new Collector();
        app = stream;
        stream.sendHead(OK);
      },
    });
    const visitor = new Collector();
    visitor.isFull = true;
    const stream = pair.relay.open(requestHead(), visitor, { fin: true });
    await turns(() => app !== undefined);
    for (let i = 0; i < 20_000; i += 1) app?.write(Buffer.from([i % 251]));
    app?.end();
    await turns(() => stream.remoteEnded);
    visitor.isFull = false;
    stream.resume();
    expect(isPoured(visitor.body, 20_000)).toBe(true);
    expect(visitor.isEnded).toBe(true);
    expect(visitor.chunks.length).toBeLessThan(50);
  });

  it("settles every close() with the earliest of their deadlines, and leaves no timer behind", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const pair = createPair({ onStream: (stream) => stream.sendHead(OK) });
      const visitor = new Collector();
      pair.relay.open(requestHead(), visitor, { fin: true });
      await visitor.until(() => visitor.heads.length > 0);
      const patient = pair.relay.close(2_147_483_647);
      const hurried = pair.relay.close(1_000);
      await vi.advanceTimersByTimeAsync(1_000);
      await Promise.all([patient, hurried]);
      await turns(() => pair.agent.state === "closed");
      expect([pair.relay.state, vi.getTimerCount()]).toEqual(["closed", 0]);
    } finally {
      vi.useRealTimers();
    }
  });
});
