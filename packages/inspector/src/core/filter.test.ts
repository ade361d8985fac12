import { describe, expect, it } from "vitest";
import { createMatcher, isFiltering, isStatusFilter, NO_FILTER, toQuery } from "./filter.ts";
import { summaryOf } from "./summary.testing.ts";

const base = summaryOf();
const row = summaryOf({ request: { ...base.request, method: "POST", uri: "/hooks/stripe?id=42" } });

describe("createMatcher", () => {
  it.each([
    [{}, true],
    [{ text: "STRIPE?id" }, true],
    [{ text: "post /hooks" }, true],
    [{ text: "203.0" }, true],
    [{ text: "nowhere" }, false],
    [{ method: "post" }, true],
    [{ method: "GET" }, false],
    [{ status: "2xx" }, true],
    [{ status: "200" }, true],
    [{ status: "404" }, false],
    [{ status: "none" }, false],
    [{ status: "2" }, true],
    [{ path: "/hooks/*" }, true],
    [{ path: "/hooks/?tripe" }, true],
    [{ path: "/hooks" }, false],
    [{ path: "*id=42" }, false],
    [{ path: "/hooks.*" }, false],
    [{ tunnel: "web" }, true],
    [{ tunnel: "other" }, false],
    [{ method: "POST", status: "5xx" }, false],
  ])("%j: %s", (filter, fits) => {
    expect(createMatcher({ ...NO_FILTER, ...filter }, new Set())(row)).toBe(fits);
  });

  it("believes the agent where the text stands in a header", () => {
    expect(createMatcher({ ...NO_FILTER, text: "nowhere" }, new Set(["a"]))(row)).toBe(true);
  });

  it("finds exchanges without an answer", () => {
    const unanswered = createMatcher({ ...NO_FILTER, status: "none" }, new Set());
    expect(unanswered(summaryOf({ response: null }))).toBe(true);
  });
});

it("asks the agent only for what it takes", () => {
  const filter = { ...NO_FILTER, text: "a b", status: "20", method: "GET" };
  expect(String(toQuery(filter))).toBe("text=a+b&method=GET");
  expect(String(toQuery({ ...filter, status: "4XX" }))).toContain("status=4XX");
  expect([isFiltering(NO_FILTER), isFiltering(filter)]).toEqual([false, true]);
  expect(["404", "4xx", "NONE", "600", "4x"].map(isStatusFilter)).toEqual([true, true, true, false, false]);
});
