import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FULL_GRANT, grantSchema } from "./grant.ts";
import type { ReservationWish, Store, TokenRecord } from "./store.ts";

const DAY = 86_400_000;

function token(name: string, o: Partial<TokenRecord> = {}): TokenRecord {
  const id = name.padEnd(16, "0");
  return {
    id,
    name,
    digest: Buffer.alloc(32, name),
    grant: FULL_GRANT,
    createdAt: 1_000,
    expiresAt: undefined,
    lastUsedAt: undefined,
    ...o,
  };
}

function wish(o: Partial<ReservationWish> = {}): ReservationWish {
  return { place: "app.t.example", owner: "token:a", source: "claimed", now: 1_000, expiresAt: 1_000 + DAY, ...o };
}

/** What every store must do. */
export function describeStore(name: string, open: () => Store): void {
  describe(name, () => {
    let store: Store;
    beforeEach(() => {
      store = open();
    });
    afterEach(() => {
      store.close();
    });

    it("begins empty", () => {
      expect([store.tokens(), store.reservations(0)]).toEqual([[], []]);
    });

    it("gives a token back as it was, rights included", () => {
      const grant = grantSchema.parse({ scopes: ["connect"], names: ["a-*", "h.x.y"], ports: [[5, 9]] });
      const record = token("a", { grant, expiresAt: 5_000, lastUsedAt: 2_000 });
      expect(store.addToken(record)).toBe(true);
      expect(store.tokens()).toEqual([record]);
    });

    it("takes no second token of one name, id or digest, and changes nothing then", () => {
      store.addToken(token("a"));
      expect(store.addToken(token("b", { name: "a" }))).toBe(false);
      expect(store.addToken(token("b", { id: token("a").id }))).toBe(false);
      expect(store.addToken(token("b", { digest: token("a").digest }))).toBe(false);
      expect(store.tokens()).toEqual([token("a")]);
    });

    it("removes a token once", () => {
      store.addToken(token("a"));
      store.addToken(token("b"));
      expect([store.removeToken(token("a").id), store.removeToken(token("a").id)]).toEqual([true, false]);
      expect(store.tokens()).toEqual([token("b")]);
    });

    it("notes uses, and leaves out tokens that are gone", () => {
      store.addToken(token("a"));
      store.touchTokens(
        new Map([
          [token("a").id, 7_000],
          ["gone", 7_000],
        ]),
      );
      store.touchTokens(new Map());
      expect(store.tokens()).toEqual([token("a", { lastUsedAt: 7_000 })]);
    });

    it("gives a free place to the first who asks, and to nobody else", () => {
      expect(store.reserve(wish())).toMatchObject({ owner: "token:a", createdAt: 1_000 });
      expect(store.reserve(wish({ owner: "token:b", now: 1_001 }))).toMatchObject({
        owner: "token:a",
        lastUsedAt: 1_000,
      });
      expect(store.reservation("app.t.example", 1_001)).toMatchObject({ owner: "token:a" });
    });

    it("prolongs for the owner and never shortens", () => {
      store.reserve(wish());
      expect(store.reserve(wish({ now: 2_000, expiresAt: 2_000 + DAY }))).toMatchObject({
        createdAt: 1_000,
        lastUsedAt: 2_000,
        expiresAt: 2_000 + DAY,
      });
      expect(store.reserve(wish({ now: 3_000, expiresAt: 3_000, source: "generated" }))).toMatchObject({
        source: "claimed",
        lastUsedAt: 3_000,
        expiresAt: 2_000 + DAY,
      });
    });

    it("frees a place when its time is over", () => {
      store.reserve(wish({ expiresAt: 2_000 }));
      expect(store.reservation("app.t.example", 1_999)).toBeDefined();
      expect(store.reservation("app.t.example", 2_000)).toBeUndefined();
      expect(store.reservations(2_000)).toEqual([]);
      expect(store.reserve(wish({ owner: "token:b", now: 2_000 }))).toMatchObject({
        owner: "token:b",
        createdAt: 2_000,
      });
    });

    it("keeps what the operator said until the operator says otherwise", () => {
      store.reserve(wish({ source: "operator", expiresAt: undefined }));
      expect(store.reserve(wish({ now: 9 * DAY, expiresAt: 10 * DAY }))).toMatchObject({
        source: "operator",
        lastUsedAt: 9 * DAY,
        expiresAt: undefined,
      });
      expect(store.reserve(wish({ source: "operator", expiresAt: 11 * DAY })).expiresAt).toBe(11 * DAY);
    });

    it("moves a place by force only", () => {
      store.reserve(wish());
      const other = { owner: "token:b", source: "operator", expiresAt: undefined } as const;
      expect(store.reserve(wish(other)).owner).toBe("token:a");
      expect(store.reserve(wish({ ...other, isForced: true })).owner).toBe("token:b");
    });

    it("writes a batch", () => {
      store.batch(() => {
        store.reserve(wish({ place: "a" }));
        store.reserve(wish({ place: "b" }));
      });
      expect(store.reservations(1_000).map(({ place }) => place)).toEqual(["a", "b"]);
    });

    it("releases a place once", () => {
      store.reserve(wish());
      expect([store.release("app.t.example"), store.release("app.t.example")]).toEqual([true, false]);
      expect(store.reserve(wish({ owner: "token:b" })).owner).toBe("token:b");
    });

    it("lists by place and counts by owner what still lasts", () => {
      for (const place of ["c", "a", "b"]) store.reserve(wish({ place }));
      store.reserve(wish({ place: "old", expiresAt: 1_500 }));
      store.reserve(wish({ place: "d", owner: "token:b" }));
      expect(store.reservations(1_500).map(({ place }) => place)).toEqual(["a", "b", "c", "d"]);
      const counts = ["token:a", "token:b", undefined].map((owner) => store.countReservations(1_500, owner));
      expect(counts).toEqual([3, 1, 4]);
    });

    it("forgets what has run out, and generated names above a number, oldest first", () => {
      store.reserve(wish({ place: "old", expiresAt: 1_500 }));
      for (let i = 0; i < 4; i += 1)
        store.reserve(wish({ place: `g${String(i)}`, source: "generated", now: 1_000 + i, expiresAt: 9_000 }));
      store.reserve(wish({ place: "kept", expiresAt: undefined, now: 1 }));
      expect(store.prune(2_000, 2)).toBe(3);
      expect(store.reservations(0).map(({ place }) => place)).toEqual(["g2", "g3", "kept"]);
      expect(store.prune(2_000, 2)).toBe(0);
    });
  });
}
