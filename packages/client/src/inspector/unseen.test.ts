import { describe, expect, it } from "vitest";
import { UnseenList } from "./unseen.ts";

const itemOf = (name: string): { name: string; unseenSlot: number } => ({ name, unseenSlot: -1 });

describe("UnseenList", () => {
  it("has what was added and has not left, whoever leaves first", () => {
    const list = new UnseenList<ReturnType<typeof itemOf>>();
    const [a, b, c] = [itemOf("a"), itemOf("b"), itemOf("c")];
    for (const item of [a, b, c]) list.add(item);
    list.remove(a);
    list.remove(a);
    expect(
      list
        .all()
        .map(({ name }) => name)
        .sort(),
    ).toEqual(["b", "c"]);
    list.add(a);
    list.remove(c);
    expect(
      list
        .all()
        .map(({ name }) => name)
        .sort(),
    ).toEqual(["a", "b"]);
    expect(list.size).toBe(2);
  });
});
