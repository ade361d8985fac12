import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mergeRows, removeRow } from "./rows.ts";
import { summaryOf } from "./summary.testing.ts";

describe("mergeRows", () => {
  it("puts new rows where they belong, newest first, whatever the order they come in", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(500)), fc.nat(100), (seqs, cut) => {
        const rows = seqs.map((seq) => summaryOf({ id: `id-${seq}`, seq }));
        const merged = mergeRows(mergeRows([], rows.slice(0, cut)), rows.slice(cut));
        expect(merged.map(({ seq }) => seq)).toEqual([...seqs].sort((a, b) => b - a));
      }),
    );
  });

  it("replaces what has changed and keeps the rest as it is", () => {
    const [a, b] = [summaryOf({ id: "a", seq: 1, outcome: "open" }), summaryOf({ id: "b", seq: 2 })];
    const merged = mergeRows([b, a], [{ ...a, outcome: "complete" }]);
    expect(merged.map(({ outcome }) => outcome)).toEqual(["complete", "complete"]);
    expect(merged[0]).toBe(b);
    expect(mergeRows(merged, [])).toBe(merged);
  });

  it("takes nothing older than what it knows", () => {
    const done = summaryOf({ id: "a", seq: 1, outcome: "complete", messages: 4 });
    expect(mergeRows([done], [{ ...done, outcome: "open" }])[0]).toBe(done);
    expect(mergeRows([done], [{ ...done, messages: 2 }])[0]).toBe(done);
    const answered = summaryOf({ id: "a", seq: 1, outcome: "open" });
    expect(mergeRows([answered], [{ ...answered, response: null }])[0]).toBe(answered);
  });

  it("takes the end of a stream of which fewer messages are kept than were counted", () => {
    const chatty = summaryOf({ id: "a", seq: 1, outcome: "open", messages: 10_400 });
    const ended = summaryOf({ id: "a", seq: 1, messages: 9_100, messages_dropped: 1_300 });
    expect(mergeRows([chatty], [ended])[0]).toBe(ended);
  });

  it("lets the oldest go when there are too many", () => {
    const rows = Array.from({ length: 20_001 }, (_, i) => summaryOf({ id: `id-${i}`, seq: i }));
    const merged = mergeRows([], rows);
    expect(merged).toHaveLength(20_000);
    expect(merged.at(-1)?.seq).toBe(1);
  });
});

it("takes one out, and is the same list when it was not there", () => {
  const rows = [summaryOf({ id: "b", seq: 2 }), summaryOf({ id: "a", seq: 1 })];
  expect(removeRow(rows, "b").map(({ id }) => id)).toEqual(["a"]);
  expect(removeRow(rows, "c")).toBe(rows);
});
