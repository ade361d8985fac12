import { describe, expect, it } from "vitest";
import { isBelow, parseMounts, stripPrefix } from "./mounts.ts";

describe("parseMounts", () => {
  it("reads a path and a target", () => {
    expect(parseMounts(["/api=8080", "/x/y/=http://h:1/b?".slice(0, -1)])).toMatchObject([
      { prefix: "/api", target: { label: "http://localhost:8080" } },
      { prefix: "/x/y", target: { label: "http://h:1/b" } },
    ]);
  });
  it.each([["api=8080"], ["/api"], ["=8080"], ["/=8080"], ["/a b=1"], ["/a?b=1"], ["/a=nonsense"]])(
    "refuses %s",
    (text) => {
      expect(() => parseMounts([text])).toThrow(expect.objectContaining({ code: "ERR_GGROK_CONFIG_INVALID" }));
    },
  );
  it("refuses the same path twice", () => {
    expect(() => parseMounts(["/a=1", "/a/=2"])).toThrow(/two mounts/);
  });
});

describe("isBelow", () => {
  it.each([
    ["/api", true],
    ["/api/", true],
    ["/api/x?y", true],
    ["/api?x", true],
    ["/apix", false],
    ["/ap", false],
    ["/x/api", false],
    ["/x/../api", false],
    ["/%61pi", false],
  ])("says of %s: %s", (path, expected) => {
    expect(isBelow(path, "/api")).toBe(expected);
  });
});

it.each([
  ["/api", "/"],
  ["/api/", "/"],
  ["/api//x", "//x"],
  ["/api?x", "/?x"],
  ["/api/a/../b", "/a/../b"],
])("strips the prefix from %s", (path, rest) => {
  expect(stripPrefix(path, "/api")).toBe(rest);
});
