import { describe, expect, it } from "vitest";
import { keysOfRequest, parsePlaceKey, placeKey } from "./place-key.ts";

const WILDCARD = { domain: "t.example", publicHost: "relay.example" };
const SINGLE = { domain: undefined, publicHost: "relay.example" };

describe("the key of a place", () => {
  it.each([
    [{ host: "app.t.example", prefix: "/x" }, "app"],
    [{ host: "app.t.example", prefix: ":tcp" }, "app"],
    [{ host: "hooks.acme.com", prefix: "/x" }, "hooks.acme.com"],
  ])("below a domain: %j", (place, key) => {
    expect(placeKey(place, WILDCARD)).toBe(key);
  });
  it.each([
    [{ host: "*", prefix: "" }, "*"],
    [{ host: "*", prefix: "/alice" }, "*/alice"],
    [{ host: "hooks.acme.com", prefix: "/x" }, "hooks.acme.com/x"],
    [{ host: "db", prefix: ":tcp" }, "db"],
  ])("in single-host mode: %j", (place, key) => {
    expect(placeKey(place, SINGLE)).toBe(key);
  });
});

describe("what an operator writes", () => {
  it.each([
    ["app", "app"],
    ["APP", "app"],
    ["app.t.example", "app"],
    ["https://app.t.example/", "app"],
    ["tcp://db.t.example:5432", "db"],
    ["hooks.acme.com", "hooks.acme.com"],
    ["t.example", undefined],
    ["relay.example", undefined],
    ["127.0.0.1", undefined],
    ["a.b.t.example", undefined],
    ["-a", undefined],
    ["a b", undefined],
    ["", undefined],
  ])("below a domain: %s", (text, key) => {
    expect(parsePlaceKey(text, WILDCARD)).toBe(key);
  });
  it.each([
    ["/alice", "*/alice"],
    ["/alice/", "*/alice"],
    ["/", "*"],
    ["*", "*"],
    ["relay.example/alice", "*/alice"],
    ["http://localhost:8080/alice", "*/alice"],
    ["hooks.acme.com/x", "hooks.acme.com/x"],
    ["db", "db"],
    ["/a b", undefined],
    ["/a?b", undefined],
  ])("in single-host mode: %s", (text, key) => {
    expect(parsePlaceKey(text, SINGLE)).toBe(key);
  });
});

describe("the keys of a request", () => {
  it("are those of its host below a domain", () => {
    expect(keysOfRequest("app.t.example", "/a/b", WILDCARD, 16)).toEqual(["app"]);
  });
  it("are those of every prefix in single-host mode, the longest first, as many as are looked at", () => {
    expect(keysOfRequest("h.x", "/a/b?c", SINGLE, 16)).toEqual(["*/a/b", "h.x/a/b", "*/a", "h.x/a", "*", "h.x"]);
    expect(keysOfRequest("h.x", "/a/b/c", SINGLE, 1)).toEqual(["*/a", "h.x/a", "*", "h.x"]);
    expect(keysOfRequest("h.x", "*", SINGLE, 16)).toEqual(["*", "h.x"]);
  });
});
