import { expect, it } from "vitest";
import { applyHeaderRules, parseHeaderRules } from "./header-rules.ts";

it("takes fields away by name and puts others at the end", () => {
  const rules = parseHeaderRules(["X-New: a: b", "X-Empty:", "x-new:c"], ["X-OLD"]);
  expect(applyHeaderRules(["x-old", "1", "Accept", "*/*", "X-Old", "2"], rules)).toEqual([
    "Accept",
    "*/*",
    "X-New",
    "a: b",
    "X-Empty",
    "",
    "x-new",
    "c",
  ]);
});

it("leaves the list alone without rules", () => {
  const fields = ["a", "b"];
  expect(applyHeaderRules(fields, parseHeaderRules([], []))).toBe(fields);
});

it.each([
  [["no colon"], []],
  [["na me: x"], []],
  [[": x"], []],
  [["X-A: a\u0000b"], []],
  [["X-A: ☃"], []],
  [["Host: x"], []],
  [["Content-Length: 1"], []],
  [[], ["Transfer-Encoding"]],
  [[], ["connection"]],
])("refuses %j and %j", (add, remove) => {
  expect(() => parseHeaderRules(add, remove)).toThrow(expect.objectContaining({ code: "ERR_GGROK_CONFIG_INVALID" }));
});
