import { expect, it } from "vitest";
import { createClaimClock } from "./claim-clock.ts";

it("counts from the start, through sleep, and never backwards", () => {
  let seconds = 1_000.5;
  const clock = createClaimClock(() => seconds);
  expect(clock.ageMs()).toBe(0);
  seconds += 8 * 3_600;
  expect(clock.ageMs()).toBe(8 * 3_600_000);
  seconds = 10;
  expect(clock.ageMs()).toBe(0);
});
