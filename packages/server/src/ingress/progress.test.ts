import { expect, it } from "vitest";
import { Progress } from "./progress.ts";

it("notices a count that does not move on", () => {
  const progress = new Progress(100, 10);
  expect(progress.isStalled(0, 0)).toBe(false);
  expect(progress.isStalled(99, 0)).toBe(false);
  expect(progress.isStalled(100, 9)).toBe(true);
});

it("measures each period anew", () => {
  const progress = new Progress(100, 10);
  progress.isStalled(0, 0);
  expect(progress.isStalled(100, 10)).toBe(false);
  expect(progress.isStalled(150, 10)).toBe(false);
  expect(progress.isStalled(200, 19)).toBe(true);
});

it("does not count the time in which nobody waited", () => {
  const progress = new Progress(100, 10);
  progress.isStalled(0, 0);
  progress.pause();
  expect(progress.isStalled(1_000, 0)).toBe(false);
  expect(progress.isStalled(1_099, 0)).toBe(false);
  expect(progress.isStalled(1_100, 0)).toBe(true);
});
