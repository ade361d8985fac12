import { describe, expect, it } from "vitest";
import { localOrigin, parseHostHeader, publicOrigin, rewriteAnswer, rewriteRequest } from "./host-header.ts";
import { parseTarget } from "./target.ts";

const visitor = { scheme: "https", host: "demo.example.dev" };
const local = { scheme: "http", host: "localhost:5173" };
const rewrite = (fields: string[], dropsForwardedHost = false) =>
  rewriteRequest(fields, { from: visitor, to: local, dropsForwardedHost });
const answer = (fields: string[], basePath = "") => rewriteAnswer(fields, { local, visitor, basePath });

describe("parseHostHeader", () => {
  it("knows the three words and takes a host for itself", () => {
    expect(parseHostHeader("auto")).toEqual({ mode: "auto" });
    expect(parseHostHeader("rewrite")).toEqual({ mode: "rewrite" });
    expect(parseHostHeader("app.test:80")).toEqual({ mode: "literal", host: "app.test:80" });
    expect(parseHostHeader("[::1]:80")).toEqual({ mode: "literal", host: "[::1]:80" });
  });
  it.each(["", "a b", "http://a", "a/b", "a:b", "a\r\nX: 1"])("refuses %j", (text) => {
    expect(() => parseHostHeader(text)).toThrow(/neither auto/);
  });
});

describe("localOrigin", () => {
  it.each([
    ["5173", "http", "localhost:5173"],
    ["127.0.0.1:5173", "http", "localhost:5173"],
    ["https://[::1]:8443", "https", "localhost:8443"],
    ["app.localhost:80", "http", "app.localhost"],
    ["http://10.0.0.7:3000/b", "http", "10.0.0.7:3000"],
    ["https://staging.test", "https", "staging.test"],
    ["unix:/run/app.sock", "http", "localhost"],
  ])("is %s at home as %s://%s", (text, scheme, host) => {
    expect(localOrigin(parseTarget(text), { mode: "rewrite" })).toEqual({ scheme, host });
  });
});

describe("publicOrigin", () => {
  it("takes the Host and the scheme the front end saw", () => {
    expect(publicOrigin(["host", "a.test", "X-Forwarded-Proto", "https, http"])).toEqual({
      scheme: "https",
      host: "a.test",
    });
    expect(publicOrigin(["host", "a.test"])).toEqual({ scheme: "http", host: "a.test" });
    expect(publicOrigin(["accept", "*/*"])).toBeUndefined();
  });
});

describe("rewriteRequest", () => {
  it("changes Host, and Origin and Referer that are our own, and keeps case, order and the rest", () => {
    expect(
      rewrite([
        "HOST",
        "demo.example.dev",
        "x",
        "1",
        "Origin",
        "https://demo.example.dev",
        "referer",
        "https://Demo.example.dev/a?b",
      ]),
    ).toEqual([
      "HOST",
      "localhost:5173",
      "x",
      "1",
      "Origin",
      "http://localhost:5173",
      "referer",
      "http://localhost:5173/a?b",
    ]);
  });
  it.each([
    "https://evil.test",
    "https://demo.example.dev.evil.test",
    "https://demo.example.dev:8443",
    "http://demo.example.dev",
    "https://demo.example.dev@evil.test",
    "null",
  ])("leaves the origin %s as it is", (origin) => {
    expect(rewrite(["Host", "demo.example.dev", "Origin", origin, "Referer", `${origin}/x`])).toEqual([
      "Host",
      "localhost:5173",
      "Origin",
      origin,
      "Referer",
      `${origin}/x`,
    ]);
  });
  it("keeps X-Forwarded-Host except for who judges it", () => {
    const fields = ["Host", "demo.example.dev", "X-Forwarded-Host", "demo.example.dev"];
    expect(rewrite(fields)).toEqual(["Host", "localhost:5173", "X-Forwarded-Host", "demo.example.dev"]);
    expect(rewrite(fields, true)).toEqual(["Host", "localhost:5173"]);
  });
  it("adds the Host that a visitor of HTTP/1.0 left out", () => {
    expect(rewrite(["accept", "*/*"])).toEqual(["Host", "localhost:5173", "accept", "*/*"]);
  });
});

describe("rewriteAnswer", () => {
  it.each([
    ["http://localhost:5173/login?x#y", "https://demo.example.dev/login?x#y"],
    ["HTTP://LOCALHOST:5173", "https://demo.example.dev"],
    ["//localhost:5173/a", "https://demo.example.dev/a"],
    ["/login", "/login"],
    ["http://localhost:51730/", "http://localhost:51730/"],
    ["http://localhost/", "http://localhost/"],
    ["https://elsewhere.test/?to=http://localhost:5173/", "https://elsewhere.test/?to=http://localhost:5173/"],
  ])("turns the Location %s into %s", (before, after) => {
    expect(answer(["LOCATION", before])).toEqual(["LOCATION", after]);
  });
  it("takes the target's base away from a Location", () => {
    expect(answer(["location", "http://localhost:5173/base/x"], "/base")).toEqual([
      "location",
      "https://demo.example.dev/x",
    ]);
    expect(answer(["location", "http://localhost:5173/basement"], "/base")).toEqual([
      "location",
      "https://demo.example.dev/basement",
    ]);
  });
  it.each([
    ["a=1; Domain=localhost; Path=/", "a=1; Domain=demo.example.dev; Path=/"],
    ["a=1;domain=.LOCALHOST", "a=1;domain=demo.example.dev"],
    ["a=1; Domain=other.test", "a=1; Domain=other.test"],
    ["a=domain=localhost; Path=/", "a=domain=localhost; Path=/"],
  ])("turns the cookie %s into %s", (before, after) => {
    expect(answer(["set-cookie", before])).toEqual(["set-cookie", after]);
  });
  it("gives the same list back when there is nothing to change", () => {
    const fields = ["content-type", "text/html", "set-cookie", "a=1"];
    expect(answer(fields)).toBe(fields);
  });
});
