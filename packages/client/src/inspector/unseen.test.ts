import { describe, expect, it } from "vitest";
import { UnseenList } from "./unseen.ts";

describe("UnseenList", () => {
  it("has what was added and has not left, whoever leaves first", () => {
    const [a, b, c] = ["a", "b", "c"].map((name) => ({ name, unseenSlot: -1 }));
    if (a === undefined || b === undefined || c === undefined) throw new Error("unreachable");
    const list = new UnseenList<typeof a>();
    const names = (): string =>
      list
        .all()
        .map(({ name }) => name)
        .sort()
        .join(" ");
    for (const item of [a, b, c]) list.add(item);
    list.remove(a);
    list.remove(a);
    expect(names()).toBe("b c");
    list.add(a);
    list.remove(c);
    expect(names()).toBe("a b");
    expect(list.size).toBe(2);
  });
});
