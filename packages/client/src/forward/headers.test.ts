import { expect, it } from "vitest";
import { endToEndFields, reasonOfUtf8 } from "./headers.ts";

const raw = (...parts: string[]) => parts.map((part) => Buffer.from(part, "latin1"));

it("keeps order, case, duplicates, empty values and every byte", () => {
  const fields = ["X-b", "\u00ff", "x-B", "", "__proto__", "1", "Set-Cookie", "a", "set-cookie", "b"];
  expect(endToEndFields(raw(...fields))).toEqual(fields);
});

it("removes the hop's own fields and what Connection names, also before it", () => {
  const fields = raw("X-Hop", "1", "A", "2", "connection", "close, x-hop", "Keep-Alive", "timeout=5", "X-HOP", "3");
  expect(endToEndFields(fields)).toEqual(["A", "2"]);
});

it("is empty where nothing came", () => {
  expect(endToEndFields(undefined)).toEqual([]);
  expect(endToEndFields([])).toEqual([]);
});

it("gives the reason phrase back in bytes", () => {
  expect(reasonOfUtf8("Not Found")).toBe("Not Found");
  expect(reasonOfUtf8("Übel")).toBe("\u00c3\u009cbel");
  expect(reasonOfUtf8("\ufffdbel")).toBe("");
});
