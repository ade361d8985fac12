import { describe, expect, it } from "vitest";
import { type DraftRecord, type ExchangeRecord, Outcome, type RecordedMessage } from "./exchange-record.ts";
import type { ExchangeStore, StoreChange, StoreQuota } from "./exchange-store.ts";
import { INSPECTOR_LIMITS } from "./limits.ts";

const NO_BODIES = { request: undefined, response: undefined };

/** A finished exchange with what a test wants different. */
export function draftOf(id: string, change: Partial<DraftRecord> = {}): DraftRecord {
  const body = { size: 0, sha256: "", isStored: true };
  return {
    id,
    tunnel: "web",
    url: "http://a.localhost",
    kind: "http",
    request: { method: "GET", target: `/${id}?q=1`, version: "1.1", fields: ["Host", "a"], trailers: [], body },
    response: { status: 200, reason: "OK", fields: [], trailers: [], body, informational: [] },
    timings: { receivedAt: 1_000, endMs: 1.5 },
    outcome: Outcome.Complete,
    isReplayable: true,
    messages: 0,
    ...change,
  };
}

/** A message with what a test wants different. */
export function messageOf(n: number, change: Partial<RecordedMessage> = {}): RecordedMessage {
  const data = Buffer.from(`message ${n}`);
  return { n, direction: "in", opcode: "text", size: data.length, at: 1_000 + n, data, isWhole: true, ...change };
}

/** What every store does. `open` gives an empty one; the caller closes it. */
export function describeStore(name: string, open: (quota?: StoreQuota) => Promise<ExchangeStore>): void {
  const ids = (records: readonly ExchangeRecord[]): string[] => records.map(({ id }) => id);

  describe(name, () => {
    it("gives a record back as it was taken, in the order of arrival", async () => {
      const store = await open();
      const draft = draftOf("a", { client: "10.0.0.1", error: "ERR_GGROK_UPSTREAM_RESET", replayOf: "z" });
      const taken = store.append(draft, NO_BODIES, []);
      expect(taken).toEqual({ ...draft, seq: 1 });
      expect(store.get("a")).toEqual(taken);
      expect(store.append(draftOf("b"), NO_BODIES, [])?.seq).toBe(2);
      expect(store.get("c")).toBeUndefined();
    });

    it("keeps bodies as bytes and tells an empty one from none", async () => {
      const store = await open();
      const request = Buffer.from([0, 255, 10, 13, 0]);
      const stored = { size: 5, sha256: "", isStored: true };
      const { response: _response, ...rest } = draftOf("a");
      store.append({ ...rest, request: { ...rest.request, body: stored } }, { request, response: undefined }, []);
      expect(await store.body("a", "request")).toEqual(request);
      expect(await store.body("a", "response")).toBeUndefined();
      store.append(draftOf("b"), NO_BODIES, []);
      expect(await store.body("b", "request")).toEqual(Buffer.alloc(0));
      const cut = { size: 9, sha256: "x", isStored: false };
      store.append({ ...rest, id: "c", request: { ...rest.request, body: cut } }, NO_BODIES, []);
      expect(await store.body("c", "request")).toBeUndefined();
      expect(await store.body("none", "request")).toBeUndefined();
    });

    it("lists the newest first, before and after a place, and as many as asked for", async () => {
      const store = await open();
      for (const id of ["a", "b", "c", "d", "e"]) store.append(draftOf(id), NO_BODIES, []);
      expect(ids(await store.list({ limit: 3 }))).toEqual(["e", "d", "c"]);
      expect(ids(await store.list({ limit: 3, beforeSeq: 3 }))).toEqual(["b", "a"]);
      expect(ids(await store.list({ limit: 2, afterSeq: 1 }))).toEqual(["b", "c"]);
      expect(await store.list({ limit: 3, afterSeq: 5 })).toEqual([]);
    });

    it("lists what a filter lets through", async () => {
      const store = await open();
      for (let i = 0; i < 1_200; i++) {
        const base = draftOf(`x${i}`);
        store.append({ ...base, request: { ...base.request, method: i % 400 === 0 ? "POST" : "GET" } }, NO_BODIES, []);
      }
      expect(ids(await store.list({ limit: 10, filter: { method: "POST" } }))).toEqual(["x800", "x400", "x0"]);
      expect(ids(await store.list({ limit: 1, filter: { method: "POST" } }))).toEqual(["x800"]);
      expect(ids(await store.list({ limit: 10, afterSeq: 1, filter: { method: "POST" } }))).toEqual(["x400", "x800"]);
      expect(ids(await store.list({ limit: 10, filter: { path: "/x11?" } }))).toHaveLength(10);
    });

    it("gives a repeated id a suffix", async () => {
      const store = await open();
      store.append(draftOf("a"), NO_BODIES, []);
      expect(store.append(draftOf("a"), NO_BODIES, [])?.id).toBe("a~2");
      expect(store.append(draftOf("a"), NO_BODIES, [])?.id).toBe("a~3");
      expect(store.get("a")?.seq).toBe(1);
    });

    it("keeps to its count, the oldest go", async () => {
      const store = await open({ exchangesMax: 3, bytesMax: 1e9 });
      for (const id of ["a", "b", "c", "d", "e"]) store.append(draftOf(id), NO_BODIES, [messageOf(1)]);
      expect(ids(await store.list({ limit: 10 }))).toEqual(["e", "d", "c"]);
      expect(store.get("b")).toBeUndefined();
      expect(store.messages("b")).toEqual([]);
      expect(store.stats().count).toBe(3);
    });

    it("keeps to its bytes, bodies and messages counted", async () => {
      const store = await open({ exchangesMax: 100, bytesMax: 50_000 });
      const body = Buffer.alloc(10_000);
      const big = { size: 10_000, sha256: "", isStored: true };
      for (const id of ["a", "b", "c", "d", "e", "f"]) {
        const base = draftOf(id);
        store.append({ ...base, request: { ...base.request, body: big } }, { request: body, response: undefined }, []);
      }
      expect(ids(await store.list({ limit: 10 }))).toEqual(["f", "e", "d", "c"]);
      expect(store.stats().bytes).toBeLessThanOrEqual(50_000);
      store.addMessages("f", [messageOf(1, { data: Buffer.alloc(20_000) })]);
      expect(ids(await store.list({ limit: 10 }))).toEqual(["f", "e"]);
    });

    it("keeps an open exchange up to date until it ends", async () => {
      const store = await open();
      const opened = store.append(draftOf("ws", { outcome: Outcome.Open, kind: "websocket" }), NO_BODIES, []);
      store.addMessages("ws", [messageOf(1), messageOf(2, { direction: "out", opcode: "binary" })]);
      expect(store.get("ws")).toMatchObject({ outcome: "open", messages: 2 });
      store.addMessages("ws", [messageOf(3, { isWhole: false, size: 99 })]);
      if (opened === undefined) throw new Error("the exchange was not taken");
      store.amend({ ...opened, outcome: Outcome.Complete }, NO_BODIES);
      expect(store.get("ws")).toMatchObject({ outcome: "complete", messages: 3, seq: 1 });
      expect(store.messages("ws")).toEqual([
        messageOf(1),
        messageOf(2, { direction: "out", opcode: "binary" }),
        messageOf(3, { isWhole: false, size: 99 }),
      ]);
      expect(store.messages("ws", 1, 1).map(({ n }) => n)).toEqual([2]);
      expect(store.amend({ ...opened, id: "gone" }, NO_BODIES)).toBeUndefined();
    });

    it("lets the oldest messages go when there are too many, and counts them", async () => {
      const store = await open();
      store.append(draftOf("ws"), NO_BODIES, []);
      const data = Buffer.alloc(INSPECTOR_LIMITS.MESSAGES_BYTES_MAX / 10);
      for (let n = 1; n <= 12; n++) store.addMessages("ws", [messageOf(n, { data })]);
      const kept = store.messages("ws");
      const record = store.get("ws");
      expect(kept.at(-1)?.n).toBe(12);
      expect(kept.length).toBeLessThan(11);
      expect(record?.messages).toBe(kept.length);
      expect(record?.messagesDropped).toBe(12 - kept.length);
      expect(store.stats().bytes).toBeLessThan(INSPECTOR_LIMITS.MESSAGES_BYTES_MAX + 10_000);
    });

    it("shows what has ended to whoever reads, in the order of arrival, described once", async () => {
      const store = await open();
      const described: string[] = [];
      const take = (id: string): void => {
        const describe = () => {
          described.push(id);
          return { draft: draftOf(id), bodies: NO_BODIES };
        };
        store.take({ bytes: 0, describe });
      };
      const names = Array.from({ length: 150 }, (_, i) => `x${i}`);
      for (const id of names) take(id);
      expect(store.stats().count).toBe(150);
      take("y");
      expect(store.append(draftOf("z"), NO_BODIES, [])?.seq).toBe(152);
      take("last");
      expect(store.get("last")?.seq).toBe(153);
      take("gone");
      expect(store.delete("gone")).toBe(true);
      expect(ids(await store.list({ limit: 3 }))).toEqual(["last", "z", "y"]);
      expect(described).toEqual([...names, "y", "last", "gone"]);
    });

    it("deletes one or all", async () => {
      const store = await open();
      for (const id of ["a", "b", "c"]) store.append(draftOf(id), NO_BODIES, [messageOf(1)]);
      expect(store.delete("b")).toBe(true);
      expect(store.delete("b")).toBe(false);
      expect(ids(await store.list({ limit: 9 }))).toEqual(["c", "a"]);
      store.clear();
      expect(await store.list({ limit: 9 })).toEqual([]);
      expect(store.stats()).toMatchObject({ count: 0, bytes: 0, isRecording: true });
      expect(store.append(draftOf("a"), NO_BODIES, [])?.seq).toBe(4);
    });

    it("leaves an exchange alone that has the id of one that was deleted", async () => {
      const store = await open();
      const gone = store.append(draftOf("a", { outcome: "open" }), NO_BODIES, []);
      if (gone === undefined) throw new Error("not taken");
      store.delete("a");
      const other = store.append(draftOf("a"), NO_BODIES, []);
      expect(store.amend({ ...gone, outcome: "failed" }, NO_BODIES)).toBeUndefined();
      store.addMessages("a", [messageOf(1)], gone.seq);
      expect(store.delete("a", gone.seq)).toBe(false);
      expect(store.get("a")).toEqual(other);
      expect(store.messages("a")).toEqual([]);
      expect(store.delete("a", other?.seq)).toBe(true);
    });

    it("tells its readers what happens", async () => {
      const store = await open();
      const seen: StoreChange["kind"][] = [];
      const stop = store.subscribe((change) => seen.push(change.kind));
      const record = store.append(draftOf("a"), NO_BODIES, []);
      store.addMessages("a", [messageOf(1)]);
      if (record !== undefined) store.amend(record, NO_BODIES);
      store.countDropped();
      store.delete("a");
      store.clear();
      stop();
      store.append(draftOf("b"), NO_BODIES, []);
      expect(seen).toEqual(["exchange", "messages", "exchange", "stats", "removed", "cleared"]);
      expect(store.stats().dropped).toBe(1);
    });

    it("tells its readers which exchanges made room for others", async () => {
      const store = await open({ bytesMax: 1_000_000, exchangesMax: 2 });
      const seen: string[] = [];
      store.subscribe((change) => change.kind === "removed" && seen.push(change.id));
      for (const id of ["a", "b", "c", "d"]) store.append(draftOf(id), NO_BODIES, []);
      expect(seen).toEqual(["a", "b"]);
    });
  });
}
