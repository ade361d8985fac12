import { describe, expect, it } from "vitest";
import { grantSchema } from "../store/grant.ts";
import { Principal } from "./principal.ts";

function principal(grant: Parameters<typeof grantSchema.parse>[0] = {}): Principal {
  return new Principal("token:x", "x", grantSchema.parse(grant));
}

function http(names: string[], path?: string): Parameters<Principal["mayBind"]>[0] {
  return { kind: "http", names, ...(path !== undefined && { path }) };
}

describe("scopes", () => {
  it("are what the grant says and no more", () => {
    const asked = ["bind", "connect", "admin"] as const;
    expect(asked.map((scope) => principal().may(scope))).toEqual([true, true, false]);
    expect(asked.map((scope) => principal({ scopes: ["admin"] }).may(scope))).toEqual([false, false, true]);
  });
  it("of connectors are bounded by the same globs of names", () => {
    const limited = principal({ names: ["db-*"] });
    expect([limited.may("connect", "db-1"), limited.may("connect", "DB-1"), limited.may("connect", "web")]).toEqual([
      true,
      true,
      false,
    ]);
  });
  it("end with a revocation", () => {
    const revoked = principal();
    revoked.revoke();
    expect([revoked.may("bind"), revoked.mayBind(http(["app"]))]).toEqual([false, false]);
  });
});

describe("names", () => {
  it.each([
    [["*"], ["app", "app.t.example"], true],
    [["*"], ["hooks.acme.com"], false],
    [["hooks.acme.com"], ["hooks.acme.com"], true],
    [["*.acme.com"], ["hooks.acme.com"], true],
    [["*.acme.com"], ["a.b.acme.com"], false],
    [["*.acme.com"], ["acme.com"], false],
    [["alice-*"], ["alice-api", "alice-api.t.example"], true],
    [["alice-*"], ["bob", "bob.t.example"], false],
    [["alice-*"], ["x-alice-api", "x-alice-api.t.example"], false],
    [["a.c"], ["abc"], false],
    [["api", "www"], ["www"], true],
    [["API"], ["api"], true],
  ])("%j match %j: %s", (names, asked, expected) => {
    expect(principal({ names }).mayBind(http(asked))).toBe(expected);
  });
});

describe("paths", () => {
  it.each([
    [["/**"], "", true],
    [["/**"], "/alice/api", true],
    [["/alice"], "/alice", true],
    [["/alice"], "", false],
    [["/alice"], "/alice/api", false],
    [["/alice/*"], "/alice/api", true],
    [["/alice/*"], "/alice/api/v1", false],
    [["/alice/*"], "/alice", false],
    [["/alice/**"], "/alice", true],
    [["/alice/**"], "/alice/api/v1", true],
    [["/alice/**"], "/alicex", false],
    [["/"], "", true],
  ])("%j match %j: %s", (paths, path, expected) => {
    expect(principal({ paths }).mayBind(http(["app"], path))).toBe(expected);
  });
});

describe("kinds and ports", () => {
  it("leave paths to HTTP", () => {
    expect(principal({ paths: ["/alice"] }).mayBind({ kind: "tcp", names: ["db"] })).toBe(true);
  });
  it("are checked when they are asked for", () => {
    const limited = principal({
      kinds: ["tcp"],
      ports: [
        [20_000, 20_010],
        [22, 22],
      ],
    });
    expect(limited.mayBind(http(["app"]))).toBe(false);
    const ports = [22, 23, 19_999, 20_000, 20_010, 20_011];
    expect(ports.map((port) => limited.mayBind({ kind: "tcp", names: ["db"], port }))).toEqual([
      true,
      false,
      false,
      true,
      true,
      false,
    ]);
  });
});

describe("a grant", () => {
  it.each([
    [{ scopes: [] }],
    [{ scopes: ["root"] }],
    [{ names: [""] }],
    [{ names: ["a b"] }],
    [{ names: ["*-*-*-*-*"] }],
    [{ ports: [[10, 5]] }],
    [{ ports: [[0, 70_000]] }],
    [{ kind: ["http"] }],
  ])("is refused: %j", (grant) => {
    expect(grantSchema.safeParse(grant).success).toBe(false);
  });
});
