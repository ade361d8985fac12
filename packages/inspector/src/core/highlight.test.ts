import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { highlight } from "./highlight.ts";

describe("highlight", () => {
  it.each([
    ["javascript", 'const a = "b"; // c', "keyword", "const"],
    ["json", '{"a": "b"}', "string", '"b"'],
    ["html", '<p class="x">y</p>', "entity", "p"],
    ["css", "p { color: red }", "property", "color"],
  ] as const)("colours %s", (language, text, type, piece) => {
    const tokens = highlight(text, language) ?? [];
    expect(tokens.some((token) => token.type === type && token.text.includes(piece))).toBe(true);
  });

  it("loses no character of any text", () => {
    const language = fc.constantFrom("json", "html", "css", "javascript");
    fc.assert(
      fc.property(language, fc.string({ unit: "grapheme", maxLength: 300 }), (name, text) => {
        const tokens = highlight(text, name as "json");
        if (tokens !== undefined) expect(tokens.map((token) => token.text).join("")).toBe(text);
      }),
    );
  });

  it("leaves long text and plain text as it is", () => {
    expect(highlight("1".repeat(200_001), "json")).toBeUndefined();
    expect(highlight("1", "plain")).toBeUndefined();
  });
});
