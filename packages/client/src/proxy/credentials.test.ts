import { describe, expect, it } from "vitest";
import { Credentials } from "./credentials.ts";

const basic = (pair: string): string => `Basic ${Buffer.from(pair).toString("base64")}`;

describe("Credentials", () => {
  const some = new Credentials(["ann:s3cret", "bob:with:colon"]);

  it("accept each pair and nothing else", () => {
    for (const pair of ["ann:s3cret", "bob:with:colon"]) expect(some.acceptField(basic(pair))).toBe(true);
    for (const pair of ["ann:", "ann:s3cre", "bob:s3cret", ":s3cret", "ann", "", "ann:s3cret "]) {
      expect(some.acceptField(basic(pair))).toBe(false);
    }
    expect(some.accept("bob:with", "colon")).toBe(false);
  });

  it("refuse a field that is missing, of another scheme or no Base64", () => {
    for (const field of [undefined, "", "Basic", "Basic !!", "Bearer YW5uOnMzY3JldA==", "Basic YW5uOnMzY3JldA== x"]) {
      expect(some.acceptField(field)).toBe(false);
    }
    expect(some.acceptField("bAsIc  YW5uOnMzY3JldA==")).toBe(true);
  });

  it("ask for nothing where there are none", () => {
    const none = new Credentials([]);
    expect([none.isRequired, none.acceptField(undefined), none.accept("any", "one")]).toEqual([false, true, true]);
  });
});
