import { describe, expect, it } from "vitest";
import { Secret } from "../observability/secret.ts";
import { FULL_GRANT } from "../store/grant.ts";
import { MemoryStore } from "../store/memory.ts";
import { Authenticator, type AuthOutcome } from "./authenticator.ts";
import { digestToken, tokenId } from "./token.ts";
import { TokenBook } from "./token-book.ts";

interface Setup {
  tokens?: readonly Secret[];
  adminToken?: Secret;
  allowAnonymous?: boolean;
}

function make({ tokens = [], adminToken, allowAnonymous = false }: Setup): Authenticator {
  const book = new TokenBook({ tokens, adminToken, store: new MemoryStore(), now: Date.now });
  return new Authenticator({ tokens: book, allowAnonymous });
}

function ask(options: Setup, rawHeaders: string[] = [], remoteAddress = "127.0.0.1"): AuthOutcome {
  return make(options).admit({ rawHeaders, remoteAddress });
}

const tokens = [new Secret("alpha"), new Secret("beta")];

describe("with tokens", () => {
  it("knows each token as another principal", () => {
    const [a, b] = ["alpha", "beta"].map((token) => ask({ tokens }, ["authorization", `Bearer ${token}`]));
    expect([a?.isAllowed, b?.isAllowed]).toEqual([true, true]);
    const ids = [a, b].map((outcome) => (outcome?.isAllowed === true ? outcome.principal?.id : undefined));
    expect(new Set(ids).size).toBe(2);
    expect(JSON.stringify([a, b])).not.toMatch(/alpha|beta/u);
  });
  it.each([
    ["no token", []],
    ["a wrong token", ["Authorization", "Bearer gamma"]],
    ["a prefix of a token", ["Authorization", "Bearer alph"]],
    ["another scheme", ["Authorization", "Basic alpha"]],
    ["two fields, both right", ["Authorization", "Bearer alpha", "authorization", "Bearer alpha"]],
    ["a token in another field", ["X-Token", "alpha", "Cookie", "token=alpha"]],
    ["an empty token", ["Authorization", "Bearer "]],
  ])("refuses %s, from loopback too", (_, rawHeaders) => {
    expect(ask({ tokens }, rawHeaders).isAllowed).toBe(false);
  });
  it("takes agents without a token when anonymous ones are allowed, and still refuses wrong tokens", () => {
    expect(ask({ tokens, allowAnonymous: true }, [], "203.0.113.9")).toEqual({ isAllowed: true, principal: undefined });
    expect(ask({ tokens, allowAnonymous: true }, ["Authorization", "Bearer gamma"]).isAllowed).toBe(false);
  });
});

describe("without tokens", () => {
  it("takes agents from loopback", () => {
    expect(ask({})).toEqual({ isAllowed: true, principal: undefined });
    expect(ask({}, [], "::ffff:127.0.0.1").isAllowed).toBe(true);
  });
  it("knows the first token of the store at once, from any address, and wants one from then on", () => {
    const store = new MemoryStore();
    let revision = 0;
    store.revision = () => revision;
    const book = new TokenBook({ tokens: [], adminToken: undefined, store, now: Date.now });
    const authenticator = new Authenticator({ tokens: book, allowAnonymous: false });
    const digest = digestToken("first");
    const times = { createdAt: 0, expiresAt: undefined, lastUsedAt: undefined };
    store.addToken({ id: tokenId(digest), name: "first", digest, grant: FULL_GRANT, ...times });
    revision += 1;
    const remote = { rawHeaders: ["Authorization", "Bearer first"], remoteAddress: "203.0.113.9" };
    expect(authenticator.admit(remote).isAllowed).toBe(true);
    expect(authenticator.admit({ rawHeaders: [], remoteAddress: "127.0.0.1" }).isAllowed).toBe(false);
  });
  it("refuses other addresses", () => {
    expect(ask({}, [], "192.168.1.7").isAllowed).toBe(false);
  });
  it.each(["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "Fly-Client-IP"])(
    "refuses what came with %s",
    (name) => {
      expect(ask({}, [name, "127.0.0.1"]).isAllowed).toBe(false);
    },
  );
  it("takes anyone when told so", () => {
    expect(ask({ allowAnonymous: true }, ["X-Forwarded-For", "1.2.3.4"], "10.0.0.1").isAllowed).toBe(true);
  });
});

describe("the admin token", () => {
  it("is needed exactly, and an agent's token is not one", () => {
    const authenticator = make({ tokens, adminToken: new Secret("root"), allowAnonymous: true });
    expect(authenticator.isAdmin(["Authorization", "Bearer root"])).toBe(true);
    for (const value of ["Bearer alpha", "Bearer roo", "root", ""])
      expect(authenticator.isAdmin(["Authorization", value])).toBe(false);
    expect(authenticator.isAdmin([])).toBe(false);
  });
  it("binds nothing", () => {
    const outcome = ask({ tokens, adminToken: new Secret("root") }, ["Authorization", "Bearer root"]);
    expect(outcome).toEqual({ isAllowed: false, message: "this token may neither bind nor connect" });
  });
  it("opens nothing when none is configured", () => {
    const authenticator = make({ tokens, allowAnonymous: true });
    expect(authenticator.isAdmin(["Authorization", "Bearer "])).toBe(false);
  });
});
