import { describe, expect, it } from "vitest";
import { AddressBuckets, networkOf } from "./address-buckets.ts";

describe("AddressBuckets", () => {
  it("gives a burst, then so many a second, and says how long to wait", () => {
    const buckets = new AddressBuckets({ perSecond: 2, burst: 3 }, 10);
    expect([0, 0, 0].map((now) => buckets.take("192.0.2.1", now))).toEqual([undefined, undefined, undefined]);
    expect(buckets.take("192.0.2.1", 0)).toBe(500);
    expect(buckets.take("192.0.2.1", 400)).toBe(100);
    expect(buckets.take("192.0.2.1", 500)).toBeUndefined();
  });

  it("keeps addresses apart", () => {
    const buckets = new AddressBuckets({ perSecond: 1, burst: 1 }, 10);
    expect(buckets.take("192.0.2.1", 0)).toBeUndefined();
    expect(buckets.take("192.0.2.2", 0)).toBeUndefined();
    expect(buckets.take("192.0.2.1", 0)).toBe(1_000);
  });

  it("counts one /64 as one visitor", () => {
    const buckets = new AddressBuckets({ perSecond: 1, burst: 1 }, 10);
    expect(buckets.take("2001:db8::1", 0)).toBeUndefined();
    expect(buckets.take("2001:db8:0:0:ffff::2", 0)).toBe(1_000);
    expect(buckets.take("2001:db8:0:1::1", 0)).toBeUndefined();
  });

  it("forgets the least recently seen address first and never grows beyond its size", () => {
    const buckets = new AddressBuckets({ perSecond: 1, burst: 1 }, 3);
    for (let i = 0; i < 3; i += 1) buckets.take(`192.0.2.${i}`, 0);
    buckets.take("192.0.2.0", 0);
    buckets.take("192.0.2.9", 0);
    expect(buckets.size).toBe(3);
    expect(buckets.look("192.0.2.0", 0)).toBe(1_000);
  });

  it("does not run backwards with the clock", () => {
    const buckets = new AddressBuckets({ perSecond: 1, burst: 1 }, 3);
    buckets.take("a", 5_000);
    expect(buckets.take("a", 1_000)).toBe(1_000);
  });
});

describe("networkOf", () => {
  it.each([
    ["192.0.2.1", "192.0.2.1"],
    ["2001:db8::1", "2001:db8:0:0"],
    ["2001:0db8:0000:0000:1:2:3:4", "2001:db8:0:0"],
    ["::1", "0:0:0:0"],
    ["fe80::", "fe80:0:0:0"],
    ["unknown", "unknown"],
  ])("%s is %s", (address, network) => {
    expect(networkOf(address)).toBe(network);
  });
});
