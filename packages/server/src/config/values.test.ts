import { describe, expect, it } from "vitest";
import { createNetworkTest, formatDuration, isLoopback, parseDuration, parseNetwork } from "./values.ts";

describe("parseDuration", () => {
  it.each([
    ["500ms", 500],
    ["30s", 30_000],
    ["10m", 600_000],
    ["1.5s", 1_500],
    ["2h", 7_200_000],
    ["0", 0],
    ["0s", 0],
  ])("reads %s", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });
  it.each(["", "30", "s", "-1s", "1d", " 1s", "1s ", "1e3s", "600h"])("refuses %j", (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });
  it.each([0, 500, 1_500, 30_000, 600_000])("reads back what formatDuration wrote for %d", (ms) => {
    expect(parseDuration(formatDuration(ms))).toBe(ms);
  });
});

describe("networks", () => {
  it.each(["10.0.0.0/33", "10.0.0.0/", "10.0.0/8", "fe80::/129", "::1/x", "constructor", "1.2.3.4/8/8"])(
    "refuses %s",
    (text) => {
      expect(parseNetwork(text)).toBeUndefined();
    },
  );
  it("takes IPv4 in IPv6 form for IPv4", () => {
    const test = createNetworkTest(["10.0.0.0/8", "fd00::/8"]);
    expect([
      test("::ffff:10.1.2.3"),
      test("10.255.0.1"),
      test("11.0.0.1"),
      test("fd12::1"),
      test("unix"),
      test(undefined),
    ]).toEqual([true, true, false, true, false, false]);
  });
  it("knows loopback in every notation", () => {
    expect(["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "192.168.0.1", "::"].map(isLoopback)).toEqual([
      true,
      true,
      true,
      true,
      false,
      false,
    ]);
  });
});
