import { describe, expect, it } from "vitest";
import type { ExchangeRecord } from "./exchange-record.ts";
import { draftOf } from "./exchange-store.contract.ts";
import { createMatcher, globToRegExp, parseFilter, parseFilterText } from "./filter.ts";

const base = draftOf("Id1");
const record: ExchangeRecord = {
  ...base,
  seq: 1,
  client: "192.0.2.7",
  request: { ...base.request, method: "POST", target: "/hooks/stripe?x=/a", fields: ["X-Tag", "Blue"] },
};

describe("a filter", () => {
  it.each([
    ["", true],
    ["method=post", true],
    ["method=GET", false],
    ["status=2xx", true],
    ["status=200 method=POST path=/hooks/*", true],
    ["status=4xx", false],
    ["status=none", false],
    ["path=/hooks/stripe", true],
    ["path=/hooks", false],
    ["path=/hooks/s????e", true],
    ["path=*/a", false],
    ["tunnel=web", true],
    ["tunnel=other", false],
    ["since=1000", true],
    ["since=1001", false],
    ["blue", true],
    ["192.0.2", true],
    ["STRIPE?X", true],
    ["green", false],
  ])("%j: %s", (text, isFound) => {
    expect(createMatcher(parseFilterText(text))(record)).toBe(isFound);
  });

  it("finds exchanges without an answer", () => {
    const { response: _response, ...unanswered } = record;
    expect(createMatcher({ status: "none" })(unanswered)).toBe(true);
    expect(createMatcher({ status: "5xx" })(unanswered)).toBe(false);
  });

  it.each([["colour=blue"], ["status=600"], ["status=4x"], ["since=yesterday"]])("is refused: %s", (text) => {
    expect(() => parseFilterText(text)).toThrow(/is no filter|is neither/);
  });

  it("has no part for an empty value", () => {
    expect(
      parseFilter([
        ["text", ""],
        ["status", ""],
      ]),
    ).toEqual({});
  });

  it("takes a run of stars for one, so that it ends", () => {
    expect(globToRegExp(`${"*".repeat(60)}b`).test("a".repeat(60))).toBe(false);
  });
});
