import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { matchesGlob } from "./environment.ts";
import { parseProxyUrl } from "./proxy-url.ts";
import { chooseRoute, parseAbsoluteForm, parseUpstreamRule } from "./rules.ts";

const rule = (text: string) => parseUpstreamRule(text, { CORP: "http://u:p@corp:8080" });
const corp = parseProxyUrl("http://corp:3128");

describe("upstream rules", () => {
  it("choose by the first that fits, else the default", () => {
    const rules = [rule("*.corp.example=http://inner:8080"), rule("*.example:8443=direct"), rule("[::1]=direct")];
    const to = (host: string, port = 443) => chooseRoute({ host, port }, rules, corp)?.label;
    expect(to("git.corp.example")).toBe("http://inner:8080");
    expect(to("GIT.Corp.Example.")).toBe("http://inner:8080");
    expect(to("www.example", 8_443)).toBeUndefined();
    expect(to("www.example")).toBe("http://corp:3128");
    expect(to("corp.example")).toBe("http://corp:3128");
    expect(to("::1")).toBeUndefined();
    expect(chooseRoute({ host: "www.example", port: 80 }, rules, undefined)).toBeUndefined();
  });

  it("take a secret address from the environment", () => {
    expect(rule("*=env:CORP").proxy).toMatchObject({ username: "u", password: "p", label: "http://corp:8080" });
  });

  it.each([
    "",
    "=",
    "a",
    "a=",
    "=direct",
    "a=ftp://x",
    "a b=direct",
    "a:0=direct",
    "a:99999=direct",
    "a:x=direct",
    "*=env:NOPE",
  ])("refuse %j", (text) => {
    expect(() => rule(text)).toThrow();
  });

  it("keep a password out of their complaints", () => {
    expect(() => rule("a b=http://u:hunter2@x")).toThrowError(expect.not.stringContaining("hunter2"));
    expect(() => rule("a=gopher://u:hunter2@x")).toThrowError(expect.not.stringContaining("hunter2"));
  });
});

describe("matchesGlob", () => {
  it("does what a regular expression would", () => {
    const piece = fc.string({ unit: fc.constantFrom("a", "b", ".", "*"), maxLength: 8 });
    fc.assert(
      fc.property(piece, piece, (text, pattern) => {
        const plain = text.replaceAll("*", "b");
        const twin = new RegExp(`^${pattern.replaceAll(".", "\\.").replaceAll("*", ".*")}$`);
        expect(matchesGlob(plain, pattern)).toBe(twin.test(plain));
      }),
      { numRuns: 2_000 },
    );
  });

  it("cannot be made slow", () => {
    expect(matchesGlob("a".repeat(20_000), `${"*a".repeat(50)}b`)).toBe(false);
  });
});

describe("parseAbsoluteForm", () => {
  it.each([
    ["http://a.io/x?y=z", "a.io", 80, "/x?y=z", false],
    ["HTTP://a.io:8080", "a.io", 8_080, "/", true],
    ["http://a.io?q", "a.io", 80, "/?q", false],
    ["http://[::1]:3000/", "::1", 3_000, "/", false],
    ["http://a.io//b/../c%2f", "a.io", 80, "//b/../c%2f", false],
  ])("takes %s apart and keeps its bytes", (target, host, port, path, isBare) => {
    expect(parseAbsoluteForm(target)).toMatchObject({ destination: { host, port }, path, isBare });
  });

  it.each([
    ...[
      "",
      "/",
      "*",
      "a.io:80",
      "https://a.io/",
      "ftp://a.io/",
      "http://",
      "http:///x",
      "http://u@a.io/",
      "http://u:p@a.io/",
    ],
    ...[
      "http://a.io:0/",
      "http://a.io:65536/",
      "http://a b/",
      "http://a.io/#x",
      "http://[::1/",
      "http://::1/",
      "http://[a.io]/",
    ],
  ])("refuses %j", (target) => {
    expect(parseAbsoluteForm(target)).toBeUndefined();
  });
});
