import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatBytes, formatMs, plural } from "./format.ts";
import { countHexLines, hexLine } from "./hex.ts";
import { commandFor } from "./keys.ts";
import { parseMediaType } from "./media-type.ts";
import { qrPath } from "./qr.ts";
import { fromBase64, isReadable, toBase64 } from "./text.ts";
import { stretchesOf } from "./timing.ts";

it("says bytes and times as people do", () => {
  expect([0, 999, 1_000, 99_499, 99_600, 999_499, 999_500, 1_500_000_000].map(formatBytes)).toEqual([
    "0 B",
    "999 B",
    "1.0 kB",
    "99.5 kB",
    "100 kB",
    "999 kB",
    "1.0 MB",
    "1.5 GB",
  ]);
  expect([0.123, 12.3, 999.4, 1_234, 59_949, 59_960, 61_000, 3_660_000].map(formatMs)).toEqual([
    "0.1 ms",
    "12 ms",
    "999 ms",
    "1.23 s",
    "59.9 s",
    "1 min 0 s",
    "1 min 1 s",
    "1 h 1 min",
  ]);
  expect([plural(1, "exchange"), plural(12_345, "exchange")]).toEqual(["1 exchange", "12,345 exchanges"]);
});

it("writes bytes in lines of sixteen", () => {
  const bytes = Uint8Array.from({ length: 18 }, (_, i) => i + 0x3c);
  expect(countHexLines(bytes)).toBe(2);
  expect(hexLine(bytes, 0)).toEqual({
    offset: "00000000",
    hex: "3c 3d 3e 3f 40 41 42 43  44 45 46 47 48 49 4a 4b",
    text: "<=>?@ABCDEFGHIJK",
  });
  expect(hexLine(bytes, 1)).toEqual({ offset: "00000010", hex: "4c 4d", text: "LM" });
  expect(hexLine(Uint8Array.from([0, 0x7f, 0xff]), 0).text).toBe("···");
});

it("reads a content type with its parameters", () => {
  const { type, parameters } = parseMediaType('Text/HTML; charset="utf-8"; a="x;\\"y"; charset=other; bare');
  expect(type).toBe("text/html");
  expect([...parameters]).toEqual([
    ["charset", "utf-8"],
    ["a", 'x;"y'],
  ]);
  expect(parseMediaType(undefined).type).toBe("");
});

it("gives bytes back from base64", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 20_000 }), (bytes) => {
      expect([...fromBase64(toBase64(bytes))]).toEqual([...bytes]);
    }),
    { numRuns: 30 },
  );
});

it("tells text from bytes", () => {
  const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
  expect(isReadable(encode("ä\tb\r\n"))).toBe(true);
  expect(isReadable(Uint8Array.from([0xc3]))).toBe(false);
  expect(isReadable(Uint8Array.from([0xc3]), true)).toBe(true);
  expect(isReadable(encode("a\u0000"))).toBe(false);
});

describe("stretchesOf", () => {
  const timings = { received_at: 0, first_byte_to_app_ms: 2, first_byte_from_app_ms: 7, end_ms: 10 };

  it("divides the whole time", () => {
    expect(stretchesOf(timings).map(({ name, startMs, lengthMs }) => [name, startMs, lengthMs])).toEqual([
      ["agent", 0, 2],
      ["app", 2, 5],
      ["answer", 7, 3],
    ]);
  });

  it("adds up whatever is known, and is never negative", () => {
    const ms = fc.option(fc.double({ min: 0, max: 100, noNaN: true }));
    fc.assert(
      fc.property(ms, ms, fc.double({ min: 0, max: 100, noNaN: true }), (toApp, fromApp, endMs) => {
        const stretches = stretchesOf({
          received_at: 0,
          first_byte_to_app_ms: toApp,
          first_byte_from_app_ms: fromApp,
          end_ms: endMs,
        });
        expect(stretches.every(({ lengthMs }) => lengthMs > 0)).toBe(true);
        expect(stretches.reduce((sum, { lengthMs }) => sum + lengthMs, 0)).toBeCloseTo(endMs);
      }),
    );
  });
});

describe("commandFor", () => {
  const press = { hasModifier: false, isTyping: false, isControl: false };

  it("knows the keys, and leaves those with a modifier to the browser", () => {
    expect(commandFor({ ...press, key: "j" })).toBe("next");
    expect(commandFor({ ...press, key: "G" })).toBe("last");
    expect(commandFor({ ...press, key: "q" })).toBeUndefined();
    expect(commandFor({ ...press, key: "r", hasModifier: true })).toBeUndefined();
  });

  it("leaves what is typed alone, and the arrows to what they belong to", () => {
    expect(commandFor({ ...press, key: "j", isTyping: true })).toBeUndefined();
    expect(commandFor({ ...press, key: "Escape", isTyping: true })).toBe("leave");
    expect(commandFor({ ...press, key: "ArrowDown", isControl: true })).toBeUndefined();
    expect(commandFor({ ...press, key: "j", isControl: true })).toBe("next");
  });
});

it("draws a QR code inside of its quiet zone", () => {
  const { size, path } = qrPath("https://a.example");
  const places = [...path.matchAll(/M(\d+) (\d+)/g)].flatMap((match) => [Number(match[1]), Number(match[2])]);
  expect(Math.min(...places)).toBe(3);
  expect(Math.max(...places)).toBe(size - 4);
});
