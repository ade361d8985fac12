import { describe, expect, it } from "vitest";
import { Keepalive } from "./keepalive.ts";

const make = (always = true): Keepalive =>
  new Keepalive({ pingMs: 5_000, suspectMs: 7_500, timeoutMs: 12_500, always, nowMs: 0 });

/** Runs checks when they are due until the verdict changes. */
function runUntil(keepalive: Keepalive, verdict: string, from = 0): number {
  let now = from;
  for (let i = 0; i < 100; i += 1) {
    now += keepalive.delay(now);
    if (keepalive.check(now).liveness === verdict) return now;
  }
  throw new Error(`never ${verdict}`);
}

describe("Keepalive", () => {
  it("suspects a silent peer after 7.5 s and gives it up after 12.5 s", () => {
    expect(runUntil(make(), "suspect")).toBeCloseTo(7_500, -1);
    expect(runUntil(make(), "lost")).toBeCloseTo(12_500, -1);
  });

  it("pings at the interval even while the peer talks, when asked to", () => {
    const keepalive = make();
    let pings = 0;
    for (let now = 0; now < 60_000; now += keepalive.delay(now)) {
      keepalive.heard(now);
      if (keepalive.check(now).ping) pings += 1;
    }
    expect(pings).toBeGreaterThanOrEqual(11);
    expect(pings).toBeLessThanOrEqual(12);
  });

  it("pings only into silence otherwise", () => {
    const keepalive = make(false);
    for (let now = 0; now < 60_000; now += 100) {
      keepalive.heard(now);
      keepalive.delay(now);
      expect(keepalive.check(now).ping).toBe(false);
    }
  });

  it("judges nobody when the check itself comes late", () => {
    const keepalive = make();
    const due = keepalive.delay(0);
    expect(keepalive.check(due + 20_000)).toEqual({ liveness: "alive", ping: true });
    expect(runUntil(keepalive, "lost", due + 20_000)).toBeCloseTo(due + 32_500, -1);
  });
});
