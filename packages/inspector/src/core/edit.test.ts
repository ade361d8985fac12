import { describe, expect, it } from "vitest";
import { toEdit, withoutFields } from "./edit.ts";

const original = { method: "POST", uri: "/hooks?a=1", header_list: ["Host", "a", "X-Note", "one"] };
const draft = { method: "POST", target: "/hooks?a=1", head: "Host: a\nX-Note: one", body: undefined };

describe("toEdit", () => {
  it("says nothing of what is the same", () => {
    expect(toEdit(original, draft)).toEqual({ edit: {} });
    expect(toEdit(original, { ...draft, head: "Host: a\n\nX-Note:one\n" })).toEqual({ edit: {} });
  });

  it("says what differs", () => {
    const body = new TextEncoder().encode("ä");
    expect(toEdit(original, { method: "PUT", target: "/b", head: "host: a:1", body })).toEqual({
      edit: { method: "PUT", target: "/b", header_list: ["host", "a:1"], body_base64: "w6Q=" },
    });
  });

  it.each([
    [{ method: "NO WAY" }, "method"],
    [{ method: "" }, "method"],
    [{ target: "hooks" }, "target"],
    [{ target: "/a b" }, "target"],
    [{ head: "no colon" }, "head"],
    [{ head: "bad name: x" }, "head"],
    [{ head: ": x" }, "head"],
    [{ head: "Cookie: ••••••••" }, "head"],
  ])("refuses %j and says where", (part, field) => {
    expect(toEdit(original, { ...draft, ...part })).toMatchObject({ field });
  });
});

it("leaves fields out by name", () => {
  expect(withoutFields(["A", "1", "Content-Encoding", "gzip", "b", "2"], ["content-encoding"])).toEqual([
    "A",
    "1",
    "b",
    "2",
  ]);
});
