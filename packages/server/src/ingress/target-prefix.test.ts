import { expect, it } from "vitest";
import { stripPrefix } from "./target-prefix.ts";

it.each([
  ["/alice/x?y=/alice", "/x?y=/alice"],
  ["/alice", "/"],
  ["/alice/", "/"],
  ["/alice?q", "/?q"],
  ["/alice//x", "//x"],
  ["/alicex", "/alicex"],
  ["/", "/"],
])("makes %s under /alice %s", (target, expected) => {
  expect(stripPrefix(target, "/alice")).toBe(expected);
});
