import { describe, expect, it } from "vitest";
import { MAX_BACKOFF_MS } from "./backoff.ts";
import { MOVE_GRACE_MS, ReconnectPace } from "./reconnect-pace.ts";

const LONGEST = () => 0.999_999;
const PLAIN = { isMoving: false, isHeld: false };

function afterFailures(pace: ReconnectPace, count: number): ReconnectPace {
  for (let failure = 0; failure < count; failure += 1) pace.failed();
  return pace;
}

describe("ReconnectPace", () => {
  it("lets pauses grow to their longest, and starts over once a session has stood", () => {
    const pace = new ReconnectPace(LONGEST);
    const pauses: number[] = [];
    for (let failure = 0; failure < 8; failure += 1) {
      pauses.push(Math.ceil(pace.pauseMs(PLAIN, 0) / 1_000));
      pace.failed();
    }
    expect(pauses).toEqual([1, 2, 4, 8, 16, 30, 30, 30]);
    pace.lost(0, 60_000);
    expect(pace.pauseMs(PLAIN, 60_000)).toBeLessThan(1_000);
  });

  it("keeps tries within 2 s while the relay holds the session", () => {
    const pace = afterFailures(new ReconnectPace(LONGEST), 10);
    expect(pace.pauseMs({ ...PLAIN, isHeld: true }, 0)).toBeLessThan(2_000);
    expect(pace.pauseMs(PLAIN, 0)).toBeGreaterThan(MAX_BACKOFF_MS - 1_000);
  });

  it("keeps tries within 2 s after a drain, for as long as visitors may be waiting at the next relay", () => {
    const pace = new ReconnectPace(LONGEST);
    pace.drained(5_000);
    afterFailures(pace, 10);
    for (const isMoving of [true, false]) {
      expect(pace.pauseMs({ isMoving, isHeld: false }, 5_000)).toBeLessThan(2_000);
      expect(pace.pauseMs({ isMoving, isHeld: false }, 5_000 + MOVE_GRACE_MS - 1)).toBeLessThan(2_000);
      expect(pace.pauseMs({ isMoving, isHeld: false }, 5_000 + MOVE_GRACE_MS)).toBeGreaterThan(MAX_BACKOFF_MS - 1_000);
    }
  });

  it("moves at the very moment the relay named, however much had failed before", () => {
    const pace = afterFailures(new ReconnectPace(LONGEST), 10);
    pace.drained(0);
    expect(pace.pauseMs({ isMoving: true, isHeld: false }, 0)).toBe(0);
    expect(pace.pauseMs({ isMoving: true, isHeld: false, afterMs: 700 }, 0)).toBe(700);
  });

  it("does not hammer a relay that throws its agents out again and again, nor stays away long", () => {
    const pace = new ReconnectPace(LONGEST);
    const pauses: number[] = [];
    for (let session = 0; session < 5; session += 1) {
      pace.lost(0, 10);
      pauses.push(Math.ceil(pace.pauseMs(PLAIN, 10) / 1_000));
    }
    expect(pauses).toEqual([1, 2, 4, 4, 4]);
  });

  it("takes no session that was resumed for a short one", () => {
    const pace = new ReconnectPace(LONGEST);
    for (let session = 0; session < 5; session += 1) pace.lost(undefined, 10);
    expect(pace.pauseMs(PLAIN, 10)).toBeLessThan(1_000);
  });
});
