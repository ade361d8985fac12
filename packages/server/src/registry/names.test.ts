import { describe, expect, it } from "vitest";
import { isUnderPrefix, namesOfPlace, parseWanted, urlOfPlace } from "./names.ts";

const WILDCARD = { domain: "t.example", publicHost: "relay.acme.com" };
const SINGLE = { domain: undefined, publicHost: "relay.example" };

describe("parseWanted in wildcard mode", () => {
  it.each([
    ["app", "app.t.example", ""],
    ["app.t.example", "app.t.example", ""],
    ["https://app.t.example", "app.t.example", ""],
    ["https://App.T.example:8443/", "app.t.example", ""],
    ["https://app.t.example/alice/", "app.t.example", "/alice"],
    ["app/alice", "app.t.example", "/alice"],
  ])("reads %s", (wanted, host, prefix) => {
    expect(parseWanted(wanted, WILDCARD, "t.example")).toEqual({ place: { host, prefix } });
  });
  it.each(["hooks.acme.com", "xt.example"])("leaves %s, outside the domain, to the rights of the token", (host) => {
    const { place } = parseWanted(host, WILDCARD, "t.example");
    expect(place).toEqual({ host, prefix: "" });
    expect(namesOfPlace({ host, prefix: "" }, WILDCARD)).toEqual([host]);
  });
  it("knows both ways to say a name", () => {
    expect(namesOfPlace({ host: "app.t.example", prefix: "/x" }, WILDCARD)).toEqual(["app", "app.t.example"]);
  });
  it("chooses a name when none is asked for", () => {
    expect(parseWanted(undefined, WILDCARD, "t.example")).toEqual({ place: "generate" });
    expect(parseWanted("", WILDCARD, "t.example")).toEqual({ place: "generate" });
  });
  it.each([
    "t.example",
    "https://t.example",
    "a.b.t.example",
    "127.0.0.1",
    "https://relay.acme.com",
    "-a",
    "a_b",
    "tcp://app.t.example",
    "https://user@app.t.example",
    "app/../x",
    "app/%2e%2E/x",
    "app//x",
    "app/x?y",
    "app/$$ggrok/x",
    "a b",
    `${"a".repeat(64)}`,
    `app/${"a".repeat(600)}`,
  ])("refuses %s", (wanted) => {
    expect(parseWanted(wanted, WILDCARD, "t.example").refused).toBeTypeOf("string");
  });
});

describe("parseWanted in single-host mode", () => {
  it.each([
    [undefined, ""],
    ["https://relay.example/alice", "/alice"],
    ["https://dialled.example/alice", "/alice"],
    ["http://localhost:8080/alice", "/alice"],
    ["127.0.0.1/bob", "/bob"],
  ])("takes %s for every host", (wanted, prefix) => {
    expect(parseWanted(wanted, SINGLE, "dialled.example")).toEqual({ place: { host: "*", prefix } });
  });
  it("keeps another host apart", () => {
    expect(parseWanted("hooks.acme.com", SINGLE, "dialled.example")).toEqual({
      place: { host: "hooks.acme.com", prefix: "" },
    });
  });
  it("says what to ask for instead of a bare name", () => {
    expect(parseWanted("alice", SINGLE, "dialled.example").refused).toContain("https://relay.example/alice");
  });
});

describe("urlOfPlace", () => {
  it("keeps the port the agent came through", () => {
    const origin = { scheme: "http", authority: "localhost:8080" } as const;
    expect(urlOfPlace({ host: "app.localhost", prefix: "/a" }, origin)).toBe("http://app.localhost:8080/a");
    expect(urlOfPlace({ host: "*", prefix: "" }, origin)).toBe("http://localhost:8080");
    expect(urlOfPlace({ host: "*", prefix: "/a" }, { scheme: "https", authority: "[::1]" })).toBe("https://[::1]/a");
  });
});

describe("isUnderPrefix", () => {
  it.each([
    ["/alice", true],
    ["/alice/", true],
    ["/alice?x", true],
    ["/alice/b", true],
    ["/alicex", false],
    ["/Alice", false],
    ["/", false],
  ])("says of %s under /alice: %s", (target, expected) => {
    expect(isUnderPrefix(target, "/alice")).toBe(expected);
  });
});
