import { expect, it } from "vitest";
import { backoffDelayMs, FIRST_BACKOFF_MS, MAX_BACKOFF_MS } from "./backoff.ts";

const highest = (): number => 0.999_999_9;

it("tries first within a second and never waits longer than thirty", () => {
  expect(backoffDelayMs(0, highest)).toBeLessThan(FIRST_BACKOFF_MS);
  for (let failures = 0; failures < 2_000; failures += 1)
    expect(backoffDelayMs(failures, highest)).toBeLessThan(MAX_BACKOFF_MS);
  expect(backoffDelayMs(10, highest)).toBeGreaterThan(29_000);
});

it("spreads over the whole range, from nothing on", () => {
  expect(backoffDelayMs(5, () => 0)).toBe(0);
  expect(backoffDelayMs(3, () => 0.5)).toBe(4_000);
});

it("waits at least as long as the relay asks", () => {
  expect(backoffDelayMs(0, () => 0, 5_000)).toBe(5_000);
  expect(backoffDelayMs(9, highest, 5_000)).toBeLessThan(6_000);
  expect(backoffDelayMs(0, () => 0, 86_400_000)).toBe(MAX_BACKOFF_MS);
});
