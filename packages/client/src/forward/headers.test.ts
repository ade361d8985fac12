import { expect, it } from "vitest";
import { reasonOfUtf8, textFields } from "./headers.ts";

const raw = (...parts: string[]) => parts.map((part) => Buffer.from(part, "latin1"));

it("keeps order, case, duplicates, empty values and every byte", () => {
  const fields = ["X-b", "\u00ff", "x-B", "", "__proto__", "1", "Set-Cookie", "a", "set-cookie", "b"];
  expect(textFields(raw(...fields))).toEqual(fields);
});

it("is empty where nothing came", () => {
  expect(textFields(undefined)).toEqual([]);
  expect(textFields([])).toEqual([]);
});

it("gives the reason phrase back in bytes", () => {
  expect(reasonOfUtf8("Not Found")).toBe("Not Found");
  expect(reasonOfUtf8("Übel")).toBe("\u00c3\u009cbel");
  expect(reasonOfUtf8("\ufffdbel")).toBe("");
});
