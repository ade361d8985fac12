import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { escapeForTerminal, stringifyForTerminal } from "./escape.ts";

const CODES = (text: string): number[] => [...text].map((c) => c.codePointAt(0) ?? 0);
const isHarmless = (text: string): boolean =>
  CODES(text).every(
    (c) =>
      c >= 0x20 &&
      !(c >= 0x7f && c <= 0x9f) &&
      !(c >= 0x202a && c <= 0x202e) &&
      !(c >= 0x2066 && c <= 0x2069) &&
      c !== 0x2028 &&
      c !== 0x2029 &&
      c !== 0x200e &&
      c !== 0x200f,
  );

describe("escapeForTerminal", () => {
  it.each([
    ["/a\u001b[2Jb", "/a\\x1b[2Jb"],
    ["\u001b]52;c;ZXZpbA==\u0007", "\\x1b]52;c;ZXZpbA==\\x07"],
    ["a\r\nb\tc", "a\\r\\nb\\tc"],
    ["\u009b31m", "\\x9b31m"],
    ["\u202egnp.exe", "\\u{202e}gnp.exe"],
    ["\u2066x\u2069", "\\u{2066}x\\u{2069}"],
    ["\u007f\u0000", "\\x7f\\x00"],
    ["naïve – ünï 日本", "naïve – ünï 日本"],
  ])("escapes %j", (text, escaped) => {
    expect(escapeForTerminal(text)).toBe(escaped);
  });

  it("leaves nothing a terminal acts upon, whatever comes", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => isHarmless(escapeForTerminal(text))));
  });
});

describe("stringifyForTerminal", () => {
  it("stays the same value and holds nothing a terminal acts upon", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const line = stringifyForTerminal({ path: text });
        expect(isHarmless(line)).toBe(true);
        expect(JSON.parse(line)).toEqual({ path: text });
      }),
    );
  });
});
