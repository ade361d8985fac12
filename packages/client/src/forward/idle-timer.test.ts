import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { IdleTimer } from "./idle-timer.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it("speaks after each span in which nothing moved", () => {
  const onIdle = vi.fn();
  const timer = new IdleTimer(100, onIdle);
  vi.advanceTimersByTime(99);
  expect(onIdle).not.toHaveBeenCalled();
  vi.advanceTimersByTime(2);
  expect(onIdle).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(100);
  expect(onIdle).toHaveBeenCalledTimes(2);
  timer.stop();
  vi.advanceTimersByTime(1_000);
  expect(onIdle).toHaveBeenCalledTimes(2);
});

it("counts from the last movement", () => {
  const onIdle = vi.fn();
  const timer = new IdleTimer(100, onIdle);
  for (let i = 0; i < 10; i++) {
    vi.advanceTimersByTime(90);
    timer.touch();
  }
  expect(onIdle).not.toHaveBeenCalled();
  timer.stop();
});

it("judges only after what came meanwhile has been read", async () => {
  vi.useRealTimers();
  const onIdle = vi.fn();
  const timer = new IdleTimer(200, onIdle);
  // The process stands still for longer than the span; then the span's timer is due before anything is read. What comes
  // is due one millisecond later, in the same round of the event loop.
  const arrived = new Promise<void>((resolve) => setTimeout(resolve, 201));
  const until = performance.now() + 250;
  while (performance.now() < until);
  await arrived;
  timer.touch();
  await new Promise(setImmediate);
  expect(onIdle).not.toHaveBeenCalled();
  timer.stop();
});
