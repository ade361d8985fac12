import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { type Stallable, StallWatch } from "./stall-watch.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it("looks at what was added until it is removed, and then rests", () => {
  const watch = new StallWatch(1_000);
  const calls: boolean[] = [];
  const item = { stallSlot: -1, checkStall: (_now: number, isFresh: boolean): void => void calls.push(isFresh) };
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
  watch.add({ stallSlot: -1, checkStall: (_now, isFresh) => void calls.push(isFresh) });
  const now = performance.now();
  const late = vi.spyOn(performance, "now").mockReturnValue(now + 5_000);
  vi.advanceTimersByTime(1_000);
  late.mockRestore();
  expect(calls).toEqual([true]);
  watch.close();
  expect(vi.getTimerCount()).toBe(0);
});

it("keeps every other item when some leave, also while it looks", () => {
  const watch = new StallWatch(1_000);
  const seen: number[] = [];
  const items: Stallable[] = Array.from({ length: 10 }, (_, n) => ({
    stallSlot: -1,
    checkStall: (): void => {
      seen.push(n);
      if (n % 3 === 0) watch.remove(items[n] as Stallable);
    },
  }));
  for (const item of items) watch.add(item);
  for (const item of items) watch.add(item);
  expect(watch.size).toBe(10);
  vi.advanceTimersByTime(1_000);
  expect(seen.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  seen.length = 0;
  vi.advanceTimersByTime(1_000);
  expect(seen.toSorted((a, b) => a - b)).toEqual([1, 2, 4, 5, 7, 8]);
  watch.close();
  expect(watch.size).toBe(0);
});
