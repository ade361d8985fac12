import fc from "fast-check";
import { expect, it } from "vitest";
import { reasonOfUtf8, textFields } from "./headers.ts";

const raw = (...parts: string[]) => parts.map((part) => Buffer.from(part, "latin1"));

it("keeps order, case, duplicates, empty values and every byte", () => {
  const fields = ["X-b", "\u00ff", "x-B", "", "__proto__", "1", "Set-Cookie", "a", "set-cookie", "b"];
  expect(textFields(raw(...fields))).toEqual(fields);
});

it("reads views of one buffer as it reads buffers of their own", () => {
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(fc.array(bytes, { minLength: 2, maxLength: 12 }), fc.boolean(), (parts, isShuffled) => {
      const whole = Buffer.from(new Uint8Array(Buffer.concat(parts.flatMap((part) => [Buffer.from(": "), part]))));
      let at = 0;
      const views = parts.map((part) => {
        at += 2 + part.length;
        return whole.subarray(at - part.length, at);
      });
      if (isShuffled) views.reverse();
      expect(textFields(views)).toEqual(views.map((view) => view.toString("latin1")));
    }),
  );
});

it("reads views of several buffers, and text", () => {
  const [a = Buffer.of(), b = Buffer.of()] = raw("X-Ax-value", "X-Bx-value");
  const views = [a.subarray(0, 3), a.subarray(4), b.subarray(0, 3), "text", a.subarray(0, 3), a.subarray(3, 3)];
  expect(textFields(views)).toEqual(["X-A", "-value", "X-B", "text", "X-A", ""]);
  expect(textFields([a.subarray(0, 3), "text"])).toEqual(["X-A", "text"]);
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
