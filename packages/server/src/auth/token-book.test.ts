import { describe, expect, it } from "vitest";
import { Secret } from "../observability/secret.ts";
import { FULL_GRANT, type Grant } from "../store/grant.ts";
import { MemoryStore } from "../store/memory.ts";
import type { TokenRecord } from "../store/store.ts";
import type { Principal } from "./principal.ts";
import { digestToken, makeToken, tokenId } from "./token.ts";
import { TokenBook } from "./token-book.ts";

let now = 1_000;

class SharedStore extends MemoryStore {
  count = 0;
  override revision(): number {
    return this.count;
  }
}

function record(token: string, o: Partial<TokenRecord> = {}): TokenRecord {
  const digest = digestToken(token);
  const id = tokenId(digest);
  return {
    id,
    name: token,
    digest,
    grant: FULL_GRANT,
    createdAt: 0,
    expiresAt: undefined,
    lastUsedAt: undefined,
    ...o,
  };
}

function setup(
  records: TokenRecord[] = [],
  tokens: string[] = [],
): { store: SharedStore; book: TokenBook; gone: Principal[] } {
  now = 1_000;
  const store = new SharedStore();
  for (const one of records) store.addToken(one);
  const book = new TokenBook({
    tokens: tokens.map((t) => new Secret(t)),
    adminToken: undefined,
    store,
    now: () => now,
  });
  const gone: Principal[] = [];
  book.onRevoked((principal) => gone.push(principal));
  return { store, book, gone };
}

describe("a token", () => {
  it("has 256 bits and says what it is", () => {
    expect(makeToken()).toMatch(/^ggrok_[\w-]{43}$/u);
    expect(makeToken()).not.toBe(makeToken());
  });
  it("of the store is known by itself, not by its id or digest", () => {
    const { book } = setup([record("alice")]);
    expect(book.find("alice")).toMatchObject({ label: "alice", id: `token:${record("alice").id}` });
    for (const wrong of ["alic", "alicee", "", record("alice").id, record("alice").digest.toString("hex")])
      expect(book.find(wrong)).toBeUndefined();
  });
  it("has the same owner's id in the configuration and in the store", () => {
    expect(setup([], ["alice"]).book.find("alice")?.id).toBe(setup([record("alice")]).book.find("alice")?.id);
  });
  it("is the same principal at every use", () => {
    const { store, book } = setup([record("alice")]);
    const before = book.find("alice");
    store.count += 1;
    book.refresh();
    expect(book.find("alice")).toBe(before);
  });
});

describe("changes of the store", () => {
  it("are noticed when its revision moves", () => {
    const { store, book } = setup();
    expect(book.hasAgentTokens).toBe(false);
    store.addToken(record("bob"));
    book.refresh();
    expect(book.find("bob")).toBeUndefined();
    store.count += 1;
    book.refresh();
    expect([book.find("bob")?.label, book.hasAgentTokens, book.hasAdminTokens]).toEqual(["bob", true, false]);
  });
  it("are looked for at once when a token is not known, in case it was made a moment ago", () => {
    const { store, book } = setup();
    store.addToken(record("bob"));
    store.count += 1;
    expect([book.find("eve"), book.find("bob")?.label]).toEqual([undefined, "bob"]);
  });
  it("that cannot be read leave an unknown token unknown, and known ones known", () => {
    const { store, book } = setup([record("alice")]);
    store.revision = () => {
      throw new Error("disk I/O error");
    };
    expect([book.find("bob"), book.find("alice")?.label]).toEqual([undefined, "alice"]);
  });
  it("by this process are taken over by reload", () => {
    const { store, book, gone } = setup([record("bob")]);
    const bob = book.find("bob");
    store.removeToken(record("bob").id);
    book.reload();
    expect([book.find("bob"), bob?.may("bind"), gone]).toEqual([undefined, false, [bob]]);
    book.reload();
    expect(gone).toHaveLength(1);
  });
  it("count an admin token of the store as one", () => {
    const grant: Grant = { ...FULL_GRANT, scopes: ["admin"] };
    const { book } = setup([record("root", { grant })]);
    expect([book.hasAgentTokens, book.hasAdminTokens]).toEqual([false, true]);
  });
});

describe("expiry", () => {
  it("refuses from the moment on, and ends what is there at the next look", () => {
    const { book, gone } = setup([record("carol", { expiresAt: 2_000 })]);
    const carol = book.find("carol");
    now = 1_999;
    book.refresh();
    expect([carol?.may("bind"), gone]).toEqual([true, []]);
    now = 2_000;
    expect(book.find("carol")).toBeUndefined();
    book.refresh();
    book.refresh();
    expect([carol?.may("bind"), gone]).toEqual([false, [carol]]);
  });
  it("and revocation of the last token leave the door closed", () => {
    const { store, book } = setup([record("carol", { expiresAt: 500 })]);
    expect(book.hasAgentTokens).toBe(true);
    store.removeToken(record("carol").id);
    book.reload();
    expect(book.hasAgentTokens).toBe(true);
  });
});

describe("uses", () => {
  it("are written down together", () => {
    const { store, book } = setup([record("alice"), record("bob")], ["static"]);
    now = 5_000;
    for (const token of ["alice", "static", "nobody"]) book.find(token);
    expect(store.tokens().map(({ lastUsedAt }) => lastUsedAt)).toEqual([undefined, undefined]);
    book.flushUses();
    expect(store.tokens().map(({ lastUsedAt }) => lastUsedAt)).toEqual([5_000, undefined]);
  });
});
