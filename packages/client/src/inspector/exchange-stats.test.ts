import { expect, it } from "vitest";
import { ExchangeStats } from "./exchange-stats.ts";

function setUp() {
  const clock = { ms: 5_000_000 };
  return { clock, stats: new ExchangeStats(() => clock.ms) };
}

it("counts all and open ones", () => {
  const { stats } = setUp();
  stats.started();
  stats.started();
  stats.ended(10);
  expect(stats.read()).toMatchObject({ total: 2, open: 1 });
});

it("averages over one, five and fifteen minutes and forgets after that", () => {
  const { clock, stats } = setUp();
  for (let i = 0; i < 60; i += 1) stats.started();
  expect(stats.read()).toMatchObject({ rate1: 1, rate5: 0.2 });
  clock.ms += 61_000;
  expect(stats.read()).toMatchObject({ rate1: 0, rate5: 0.2, rate15: 60 / 900 });
  clock.ms += 900_000;
  expect(stats.read()).toMatchObject({ rate1: 0, rate5: 0, rate15: 0, total: 60 });
  clock.ms += 10_000_000;
  expect(stats.read().rate15).toBe(0);
});

it("gives percentiles of the latest exchanges", () => {
  const { stats } = setUp();
  expect(stats.read().p50Ms).toBe(0);
  for (let i = 1; i <= 100; i += 1) stats.ended(i);
  expect(stats.read()).toMatchObject({ p50Ms: 50, p90Ms: 90, p95Ms: 95, p99Ms: 99 });
  for (let i = 0; i < 2_000; i += 1) stats.ended(7);
  expect(stats.read().p99Ms).toBe(7);
});
