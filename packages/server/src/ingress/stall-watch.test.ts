import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { StallWatch } from "./stall-watch.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it("looks at what was added until it is removed, and then rests", () => {
  const watch = new StallWatch(1_000);
  const calls: boolean[] = [];
  const item = { checkStall: (_now: number, isFresh: boolean): void => void calls.push(isFresh) };
  watch.add(item);
  vi.advanceTimersByTime(2_000);
  expect(calls).toEqual([false, false]);
  watch.remove(item);
  vi.advanceTimersByTime(2_000);
  expect(calls).toHaveLength(2);
  expect(vi.getTimerCount()).toBe(0);
});

it("judges nobody when it comes late itself", () => {
  const watch = new StallWatch(1_000);
  const calls: boolean[] = [];
  watch.add({ checkStall: (_now, isFresh) => void calls.push(isFresh) });
  const now = performance.now();
  const late = vi.spyOn(performance, "now").mockReturnValue(now + 5_000);
  vi.advanceTimersByTime(1_000);
  late.mockRestore();
  expect(calls).toEqual([true]);
  watch.close();
  expect(vi.getTimerCount()).toBe(0);
});
