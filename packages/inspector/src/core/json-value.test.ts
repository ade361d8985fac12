import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { describeInside, ExactNumber, entriesOf, formatScalar, parseExact } from "./json-value.ts";

describe("parseExact", () => {
  it("keeps numbers that JavaScript would round as they are written", () => {
    expect(parseExact("[9007199254740993, 0.12345678901234567890, 1e3, 1.0, -7, 123456789012345]")).toEqual([
      new ExactNumber("9007199254740993"),
      new ExactNumber("0.12345678901234567890"),
      1000,
      1,
      -7,
      123456789012345,
    ]);
  });

  it("reads all else as JSON.parse does", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), (text) => {
        expect(plain(parseExact(text))).toEqual(plain(JSON.parse(text)));
      }),
    );
  });
});

function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, inner: unknown) => (inner instanceof ExactNumber ? Number(inner.source) : inner)),
  );
}

it("tells what is inside a value", () => {
  expect(entriesOf({ a: 1 })).toEqual([{ key: "a", value: 1 }]);
  expect(entriesOf(["x"])).toEqual([{ key: "0", value: "x" }]);
  expect([entriesOf(null), entriesOf("x"), entriesOf(new ExactNumber("1"))]).toEqual([undefined, undefined, undefined]);
  expect([describeInside([1]), describeInside([1, 2]), describeInside({ a: 1 }), describeInside({})]).toEqual([
    "[ 1 item ]",
    "[ 2 items ]",
    "{ 1 key }",
    "{ 0 keys }",
  ]);
  expect([formatScalar(new ExactNumber("1.10")), formatScalar("a"), formatScalar(null)]).toEqual([
    "1.10",
    '"a"',
    "null",
  ]);
});
