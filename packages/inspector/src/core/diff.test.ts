import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { diffFields, diffJson, diffText } from "./diff.ts";

describe("diffFields", () => {
  it("compares by name, in any case, without the date", () => {
    const before = ["Date", "1", "A", "x", "Gone", "1", "Set-Cookie", "a", "Set-Cookie", "b"];
    const after = ["date", "2", "a", "x", "New", "1", "Set-Cookie", "a"];
    expect(diffFields(before, after)).toEqual([
      { name: "a", change: "same", before: "x", after: "x" },
      { name: "gone", change: "removed", before: "1", after: undefined },
      { name: "set-cookie", change: "changed", before: "a\nb", after: "a" },
      { name: "new", change: "added", before: undefined, after: "1" },
    ]);
  });
});

describe("diffJson", () => {
  it("names the places that differ", () => {
    expect(diffJson('{"a":1,"b":[1,{"c-d":null}]}', '{"b":[1,{"c-d":"x"},true],"e":{}}')).toEqual([
      { path: "a", change: "removed", before: "1", after: undefined },
      { path: 'b[1]["c-d"]', change: "changed", before: "null", after: '"x"' },
      { path: "b[2]", change: "added", before: undefined, after: "true" },
      { path: "e", change: "added", before: undefined, after: "{}" },
    ]);
  });

  it("sees a difference between numbers that JavaScript rounds to the same", () => {
    expect(diffJson('{"id":9007199254740993}', '{"id":9007199254740992}')).toHaveLength(1);
    expect(diffJson('{"id":9007199254740993}', '{"id":9007199254740993}')).toEqual([]);
  });

  it("compares values without inside, and leaves texts to others", () => {
    expect(diffJson("1", "2")).toEqual([{ path: "(all)", change: "changed", before: "1", after: "2" }]);
    expect(diffJson("{", "{}")).toBeUndefined();
  });

  it("finds nothing between a value and itself", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(diffJson(text, text)).toEqual([]);
      }),
    );
  });
});

describe("diffText", () => {
  it("folds what stays the same", () => {
    const lines = Array.from({ length: 20 }, (_, i) => `line ${i}`);
    const changed = lines.with(10, "other");
    expect(diffText(`${lines.join("\n")}\n`, `${changed.join("\n")}\n`)).toEqual([
      { change: "skipped", text: "7 lines are the same" },
      ...["line 7", "line 8", "line 9"].map((text) => ({ change: "same", text })),
      { change: "removed", text: "line 10" },
      { change: "added", text: "other" },
      ...["line 11", "line 12", "line 13"].map((text) => ({ change: "same", text })),
      { change: "skipped", text: "6 lines are the same" },
    ]);
  });

  it("compares no texts that would take too long", () => {
    expect(diffText("a".repeat(1_500_000), "b".repeat(1_500_000))).toBeUndefined();
  });
});
