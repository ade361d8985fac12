import fc from "fast-check";
import { expect, it } from "vitest";
import { parseForm, splitTarget } from "./form.ts";

it("splits a target at its first question mark", () => {
  expect(splitTarget("/a?b=c?d")).toEqual({ path: "/a", query: "b=c?d" });
  expect(splitTarget("/a")).toEqual({ path: "/a", query: undefined });
});

it("keeps order, repeats and what is not valid percent-encoding", () => {
  expect(parseForm("a=1&a=2&b&=x&c=%zz+%E4&d=%C3%A4")).toEqual([
    { name: "a", value: "1" },
    { name: "a", value: "2" },
    { name: "b", value: "" },
    { name: "", value: "x" },
    { name: "c", value: "%zz %E4" },
    { name: "d", value: "ä" },
  ]);
});

it("reads what URLSearchParams writes", () => {
  const pairs = fc.array(fc.tuple(fc.string({ unit: "grapheme", minLength: 1 }), fc.string({ unit: "grapheme" })));
  fc.assert(
    fc.property(pairs, (given) => {
      const found = parseForm(new URLSearchParams(given).toString());
      expect(found.map(({ name, value }) => [name, value])).toEqual(given);
    }),
  );
});
