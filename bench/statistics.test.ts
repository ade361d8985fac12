import { describe, expect, it } from "vitest";
import { median, ratio, spread, sum } from "./statistics.ts";

describe("statistics", () => {
  it("takes the middle value, and the mean of the two middle ones of an even list", () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([])).toBeUndefined();
  });

  it("tells how far the runs lie apart", () => {
    expect(spread([90, 100, 120])).toBeCloseTo(0.3);
  });

  it("gives no figure where a part was not measured", () => {
    expect(ratio(undefined, 2)).toBeUndefined();
    expect(ratio(1, 0)).toBeUndefined();
    expect(ratio(3, 2)).toBe(1.5);
    expect(sum(1, undefined)).toBeUndefined();
    expect(sum(1, 2)).toBe(3);
  });
});
