import { expect, it } from "vitest";
import { isRequestId } from "./request-id.ts";

it.each(["a", "3f2b-77", "Root=1-67891233-abcdef", "V1StGXR8_Z5jdHi6B-myT", "a".repeat(128)])("adopts %s", (id) => {
  expect(isRequestId(id)).toBe(true);
});

it.each(["", "-a", "a b", "<b>", 'a"', "ä", "a\u001b[31m", "a".repeat(129)])("does not adopt %j", (id) => {
  expect(isRequestId(id)).toBe(false);
});
