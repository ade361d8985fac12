import { describe, expect, it } from "vitest";
import { OverloadState, OverloadWatch, oldSpaceBytes } from "./overload.ts";

const MARKS = { lagMs: 500, memoryShare: 0.85, memoryClearShare: 0.8, checks: 3 };
const CALM = { lagMs: 1, memoryShare: 0.1 };
const LATE = { lagMs: 501, memoryShare: 0.1 };
const FULL = { lagMs: 1, memoryShare: 0.86 };

function after(...samples: (typeof CALM)[]): boolean {
  const state = new OverloadState(MARKS);
  for (const sample of samples) state.sample(sample);
  return state.isOverloaded;
}

describe("overload", () => {
  it("begins after three late checks in a row, or three with little memory, or a mixture", () => {
    expect([after(LATE, LATE), after(LATE, LATE, LATE), after(FULL, FULL, FULL), after(LATE, FULL, LATE)]).toEqual([
      false,
      true,
      true,
      true,
    ]);
  });
  it("does not begin with pauses that are over, however long", () => {
    const pause = { lagMs: 60_000, memoryShare: 0.1 };
    expect(after(pause, pause, CALM, pause, pause, CALM)).toBe(false);
  });
  it("ends by itself after three checks well below the marks", () => {
    const begun = [LATE, LATE, LATE];
    expect(after(...begun, CALM, CALM)).toBe(true);
    expect(after(...begun, CALM, CALM, CALM)).toBe(false);
    expect(after(...begun, CALM, CALM, LATE, CALM, CALM)).toBe(true);
  });
  it("does not flap at a mark", () => {
    const between = { lagMs: 400, memoryShare: 0.82 };
    const begun = [FULL, FULL, FULL];
    expect(after(...begun, between, between, between, between)).toBe(true);
    expect(after(between, between, between, between)).toBe(false);
  });
  it("says when it changes, once", () => {
    const state = new OverloadState(MARKS);
    const changes = [LATE, LATE, LATE, LATE, LATE, LATE, CALM, CALM, CALM, CALM].map((sample) => state.sample(sample));
    expect(changes).toEqual([false, false, true, false, false, false, false, false, true, false]);
  });
});

describe("the watch", () => {
  it("finds out by itself that memory is short", async () => {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const watch = new OverloadWatch({
      // One byte is less than any heap.
      memoryBytes: 1,
      marks: MARKS,
      intervalMs: 5,
      onChange: (isOverloaded) => resolve(isOverloaded),
    });
    watch.start();
    // The watch alone keeps no process alive.
    const alive = setInterval(() => {}, 1_000);
    expect(await promise).toBe(true);
    expect(watch.isOverloaded).toBe(true);
    clearInterval(alive);
    watch.stop();
  });
});

describe("the heap an operator allows", () => {
  it.each([
    [[], undefined, undefined],
    [["--max-old-space-size=64"], undefined, 64],
    [[], "--inspect --max_old_space_size=96", 96],
    [["--max-old-space-size=64"], "--max-old-space-size=96", 64],
    [["--max-old-space-size=0", "--max-old-space-size-percentage=10"], "", undefined],
  ])("is that of %j and %j", (execArgv, nodeOptions, mib) => {
    expect(oldSpaceBytes(execArgv, nodeOptions)).toBe(mib === undefined ? undefined : mib * 1_048_576);
  });
});
