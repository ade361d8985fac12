import { describe, expect, it } from "vitest";
import { RELAY_LIMITS } from "../limits.ts";
import { classifyHost, hostOfRequest, isReservedTarget, parseHost } from "./host.ts";

describe("parseHost", () => {
  it("reads a host in the same way the second time, and when more are named than it remembers", () => {
    for (let round = 0; round < 2; round += 1) {
      for (let i = 0; i <= RELAY_LIMITS.hostsRemembered; i += 1)
        expect(parseHost(`N${i}.Example:80`)).toBe(`n${i}.example`);
      expect(parseHost("n..example")).toBeUndefined();
    }
  });

  it.each([
    ["Example.COM", "example.com"],
    ["example.com:8080", "example.com"],
    ["example.com:", "example.com"],
    ["example.com.", "example.com"],
    ["example.com.:443", "example.com"],
    ["127.0.0.1:80", "127.0.0.1"],
    ["[::1]:8080", "[::1]"],
    ["[::1]", "[::1]"],
    ["a_b.example", "a_b.example"],
  ])("reads %s as %s", (value, host) => {
    expect(parseHost(value)).toBe(host);
  });

  it.each([
    "",
    "a b",
    "h/path",
    "evil@h",
    "h, other",
    "[h]",
    "[::1",
    "[::1]x",
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]",
    "h..x",
    "h\0",
    ".h",
    ".",
    "-h",
    "h-",
    "h:99999",
    "h:8a",
    "h:80:80",
    "::1",
    `${"a".repeat(64)}.x`,
    "a.".repeat(140),
    "hé",
  ])("refuses %j", (value) => {
    expect(parseHost(value)).toBeUndefined();
  });
});

describe("hostOfRequest", () => {
  it("refuses two Host fields, even equal ones", () => {
    expect(hostOfRequest(["Host", "a.example", "host", "a.example"])).toBeUndefined();
  });
  it("refuses a request without Host", () => {
    expect(hostOfRequest(["X-Host", "a.example"])).toBeUndefined();
  });
  it("reads the one Host field whatever its case", () => {
    expect(hostOfRequest(["Accept", "*/*", "hOST", " A.example:81 "])).toBe("a.example");
  });
});

describe("classifyHost", () => {
  const wildcard = { domain: "t.example", publicHost: "public.example" };
  it.each([
    ["t.example", "apex"],
    ["public.example", "apex"],
    ["localhost", "apex"],
    ["127.0.0.1", "apex"],
    ["[::1]", "apex"],
    ["app.t.example", "endpoint"],
    ["other.example", "endpoint"],
    [undefined, "invalid"],
  ] as const)("sorts %s as %s in wildcard mode", (host, kind) => {
    expect(classifyHost(host, wildcard)).toBe(kind);
  });
  it("has the reserved prefix on every host in single-host mode", () => {
    expect(classifyHost("anything.example", { domain: undefined, publicHost: undefined })).toBe("apex");
  });
});

describe("isReservedTarget", () => {
  it.each(["/$$ggrok", "/$$ggrok/", "/$$ggrok/health", "/$$ggrok?x=1"])("takes %s", (target) => {
    expect(isReservedTarget(target)).toBe(true);
  });
  it.each(["/", "/$$ggrokk", "/%24%24ggrok", "/x/$$ggrok", "http://h/$$ggrok"])("leaves %s to the app", (target) => {
    expect(isReservedTarget(target)).toBe(false);
  });
});
