import { expect, it } from "vitest";
import { TokenBucket } from "./token-bucket.ts";

it("admits a burst, then its rate", () => {
  const bucket = new TokenBucket({ perSecond: 10, burst: 5, nowMs: 0 });
  const admitted = (nowMs: number): number =>
    Array.from({ length: 20 }, () => bucket.take(nowMs)).filter(Boolean).length;
  expect([admitted(0), admitted(99), admitted(200), admitted(10_000)]).toEqual([5, 0, 2, 5]);
});

it("does not mind a clock that stands still or goes back", () => {
  const bucket = new TokenBucket({ perSecond: 1_000, burst: 1, nowMs: 1_000 });
  expect([bucket.take(500), bucket.take(500), bucket.take(400)]).toEqual([true, false, false]);
});
