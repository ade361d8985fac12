import { describe, expect, it } from "vitest";
import { parseCidr, parsePathGlob, parseRateLimit, parseUsers, visitorOptions } from "./visitor-plan.ts";

describe("visitorOptions", () => {
  it("sends no password and no user name, and is nothing without rules", () => {
    expect(visitorOptions({}, "token")).toBeUndefined();
    const options = visitorOptions({ basicAuth: ["ada:s3cret"], open: ["/hooks/*"] }, "token");
    expect(JSON.stringify(options)).not.toMatch(/ada|s3cret|token/);
    expect(options).toEqual({
      basicAuth: { salt: expect.stringMatching(/^.{22}$/), hashes: [expect.stringMatching(/^.{43}$/)] },
      open: ["/hooks/*"],
    });
  });

  it("is the same for every agent of one token, and another for another token", () => {
    const hash = (secret: string): unknown => visitorOptions({ basicAuth: ["ada:s3cret"] }, secret);
    expect(hash("one")).toEqual(hash("one"));
    expect(hash("one")).not.toEqual(hash("two"));
  });
});

describe("parseUsers", () => {
  it("takes one user, or one on each line of a variable", () => {
    expect(parseUsers("ada:pa:ss", {})).toEqual(["ada:pa:ss"]);
    expect(parseUsers("env:USERS", { USERS: "ada:a b\nbob:c\n" })).toEqual(["ada:a b", "bob:c"]);
  });

  it.each(["ada", ":x", "ada:", "", "env:NONE", "file:/nowhere", "ada:x\u0007"])("refuses %j", (text) => {
    expect(() => parseUsers(text, {})).toThrow();
  });

  it("does not repeat a password in what it says", () => {
    expect(() => parseUsers(":hunter2", {})).toThrow(/^(?!.*hunter2).*$/);
  });
});

describe("parseRateLimit", () => {
  it.each([
    ["10/s", { perSecond: 10, burst: 10 }],
    ["10/s:50", { perSecond: 10, burst: 50 }],
    ["120/m", { perSecond: 2, burst: 120 }],
    ["3600/h:1", { perSecond: 1, burst: 1 }],
  ])("%s", (text, rate) => {
    expect(parseRateLimit(text)).toEqual(rate);
  });

  it.each(["10", "0/s", "10/s:0", "10/d", "-1/s", "10/s:", "1e3/s"])("refuses %s", (text) => {
    expect(() => parseRateLimit(text)).toThrow(/is no rate/);
  });
});

describe("parseCidr and parsePathGlob", () => {
  it.each(["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"])("take %s", (text) => {
    expect(parseCidr(text)).toBe(text);
  });

  it.each(["10.0.0.0/33", "10.0.0", "example.com", "::/129", "10.0.0.0/8/8"])("refuse the network %s", (text) => {
    expect(() => parseCidr(text)).toThrow();
  });

  it("refuse a path without its slash or with a query", () => {
    expect(parsePathGlob("/hooks/**")).toBe("/hooks/**");
    for (const text of ["hooks", "/hooks?x", "/a b", ""]) expect(() => parsePathGlob(text)).toThrow();
  });
});
