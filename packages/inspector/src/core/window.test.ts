import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { anchorOf, scrollTopFor, scrollTopToShow, windowOf } from "./window.ts";

const rowHeight = 30;

describe("windowOf", () => {
  it("holds every row that can be seen, few others, and none that is not there", () => {
    fc.assert(
      fc.property(fc.nat(400_000), fc.nat(2_000), fc.nat(12_000), (scrollTop, height, count) => {
        const { start, end } = windowOf({ scrollTop, height, rowHeight, count });
        expect(start).toBeGreaterThanOrEqual(0);
        expect(end).toBeLessThanOrEqual(count);
        expect(end - start).toBeLessThanOrEqual(height / rowHeight + 18);
        for (let y = scrollTop; y < Math.min(scrollTop + height, count * rowHeight); y += rowHeight) {
          expect(Math.floor(y / rowHeight)).toBeGreaterThanOrEqual(start);
          expect(Math.floor(y / rowHeight)).toBeLessThan(end);
        }
      }),
    );
  });
});

describe("an anchor", () => {
  const ids = ["a", "b", "c", "d"];

  it("keeps the row at the upper edge where it is when rows come in above", () => {
    const anchor = anchorOf(ids, 37, rowHeight);
    expect(anchor).toEqual({ id: "b", offset: 7 });
    expect(scrollTopFor(["x", "y", ...ids], anchor ?? { id: "", offset: 0 }, rowHeight)).toBe(97);
    expect(scrollTopFor(["a"], anchor ?? { id: "", offset: 0 }, rowHeight)).toBeUndefined();
  });

  it("does not hold at the very top, where the newest are to be seen", () => {
    expect(anchorOf(ids, 0, rowHeight)).toBeUndefined();
    expect(anchorOf([], 10, rowHeight)).toBeUndefined();
  });
});

it("scrolls no further than a row needs to be seen", () => {
  const view = { scrollTop: 100, height: 90, rowHeight };
  expect(scrollTopToShow(4, view)).toBe(100);
  expect(scrollTopToShow(2, view)).toBe(60);
  expect(scrollTopToShow(6, view)).toBe(120);
});
