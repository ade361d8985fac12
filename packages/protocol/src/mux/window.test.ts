import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LIMITS } from "../limits.ts";
import { SendWindow, SessionReceiveWindow, StreamReceiveWindow } from "./window.ts";

describe("windows", () => {
  it("never let a sender exceed what the receiver allows, whatever the order of reads and grants", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 65_536 }),
        fc.array(fc.tuple(fc.integer({ min: 1, max: 65_536 }), fc.integer({ min: 0, max: 100_000 })), {
          maxLength: 200,
        }),
        (initial, steps) => {
          const receiver = new StreamReceiveWindow(initial);
          const sender = new SendWindow(initial);
          let now = 0;
          for (const [write, read] of steps) {
            now += 7;
            const bytes = Math.min(write, sender.credit);
            sender.take(bytes);
            expect(receiver.receive(bytes)).toBe(true);
            expect(receiver.held).toBeLessThanOrEqual(LIMITS.STREAM_WINDOW_MAX_BYTES);
            const consumed = Math.min(read, receiver.held);
            if (receiver.consume(consumed, now, 50, Number.MAX_SAFE_INTEGER)) sender.raise(receiver.limit);
          }
          // Once everything is consumed a sender is never left without credit.
          if (receiver.consume(receiver.held, now, 50, Number.MAX_SAFE_INTEGER)) sender.raise(receiver.limit);
          expect(sender.credit).toBeGreaterThan(0);
        },
      ),
    );
  });

  it("report a byte over the limit", () => {
    const receiver = new StreamReceiveWindow(10);
    expect(receiver.receive(10)).toBe(true);
    expect(receiver.receive(1)).toBe(false);
    const session = new SessionReceiveWindow();
    expect(session.receive(LIMITS.SESSION_WINDOW_INITIAL_BYTES)).toBe(true);
    expect(session.receive(1)).toBe(false);
  });

  it("ignore a limit that raises nothing", () => {
    const sender = new SendWindow(100);
    expect(sender.raise(100)).toBe(false);
    expect(sender.raise(99)).toBe(false);
    expect(sender.raise(101)).toBe(true);
    expect(sender.credit).toBe(101);
  });

  it("stay at their initial size while the round trip is short, however fast the reader", () => {
    const receiver = new StreamReceiveWindow(LIMITS.STREAM_WINDOW_INITIAL_BYTES);
    for (let now = 0; now < 10_000; now += 1) {
      receiver.receive(16_384);
      receiver.consume(16_384, now, 0.2, Number.MAX_SAFE_INTEGER);
    }
    expect(receiver.size).toBe(LIMITS.STREAM_WINDOW_INITIAL_BYTES);
  });

  it("grow over a distance until the sender is no longer held up, at most to the cap", () => {
    const rtt = 100;
    const stream = new StreamReceiveWindow(LIMITS.STREAM_WINDOW_INITIAL_BYTES);
    const session = new SessionReceiveWindow();
    // One window of bytes a round trip, spread over it, as a sender that uses all its credit does.
    for (let round = 0; round < 40; round += 1) {
      const bytes = Math.min(stream.limit - stream.received, session.limit - session.received);
      for (let part = 0; part < 100; part += 1) {
        const now = round * rtt + part;
        const n = Math.floor(bytes / 100);
        stream.receive(n);
        session.receive(n);
        session.measure(n, now, rtt);
        if (session.isDue) session.grant(rtt);
        stream.consume(n, now, rtt, Number.MAX_SAFE_INTEGER);
      }
    }
    expect(stream.size).toBe(LIMITS.STREAM_WINDOW_MAX_BYTES);
    expect(session.size).toBeGreaterThan(4 * 1024 * 1024);
    expect(session.size).toBeLessThanOrEqual(LIMITS.SESSION_WINDOW_MAX_BYTES);
  });

  it("keep the session's bytes in flight small on a slow link", () => {
    const session = new SessionReceiveWindow();
    for (let now = 0; now < 5_000; now += 8) {
      session.receive(16_384); // 2 MB/s
      session.measure(16_384, now, 1);
      if (session.isDue) session.grant(1);
    }
    expect(session.size).toBe(LIMITS.SESSION_WINDOW_MIN_BYTES);
  });

  it("hold new credit back while memory is short and give it out later", () => {
    const receiver = new StreamReceiveWindow(100_000);
    receiver.receive(100_000);
    expect(receiver.consume(100_000, 0, 1, 0)).toBe(false);
    expect(receiver.grant(16_384)).toBe(true);
    expect(receiver.limit).toBe(116_384);
    expect(receiver.grant(Number.MAX_SAFE_INTEGER)).toBe(true);
    expect(receiver.limit).toBe(200_000);
  });
});
