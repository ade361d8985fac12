import { hash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { HttpOpenHead } from "@ggrok/protocol";
import { describe, expect, it, vi } from "vitest";
import { BodySpool } from "./body-spool.ts";
import type { DraftRecord } from "./exchange-record.ts";
import { MemoryStore } from "./memory-store.ts";
import { Recorder, type RecorderOptions } from "./recorder.ts";
import { SqliteStore } from "./sqlite-store.ts";

const WELL = { error: undefined, isAbandoned: false, isRequestWhole: true };

function headOf(requestId: string, fields: string[] = []): HttpOpenHead {
  return { kind: "http", bind: 1, requestId, method: "POST", target: "/", version: "1.1", fields };
}

function open(options: Partial<RecorderOptions> = {}): { store: MemoryStore; recorder: Recorder } {
  const store = new MemoryStore();
  return { store, recorder: new Recorder({ store, urlOf: () => "http://a.localhost", ...options }) };
}

describe("Recorder", () => {
  it("drops whole exchanges when all open ones hold too much, counts them, and takes the next", async () => {
    const { store, recorder } = open({ heldBytesMax: 10_000 });
    const openTap = recorder.openTap("web");
    const taps = ["a", "b", "c"].map((id) => openTap(headOf(id)));
    for (const tap of taps) {
      tap?.onRequestData(Buffer.alloc(4_000));
      tap?.onResponseHead(200, "OK", []);
      tap?.onResponseData(Buffer.alloc(10));
    }
    for (const tap of taps) tap?.onEnd(WELL);
    expect((await store.list({ limit: 9 })).map(({ id }) => id)).toEqual(["b", "a"]);
    expect(store.stats().dropped).toBe(1);
    expect(recorder.bodies.ledger.heldBytes).toBe(0);
    const next = openTap(headOf("d"));
    next?.onRequestData(Buffer.alloc(9_000));
    next?.onEnd(WELL);
    expect(store.get("d")).toBeDefined();
  });

  it("keeps only size and digest of a body above the cap, without holding it", () => {
    const { store, recorder } = open({ bodyBytesMax: 1_000, heldBytesMax: 2_000 });
    const tap = recorder.openTap("web")(headOf("a"));
    for (let i = 0; i < 100; i += 1) {
      tap?.onRequestData(Buffer.alloc(300));
      expect(recorder.bodies.ledger.heldBytes).toBeLessThanOrEqual(1_000);
    }
    tap?.onEnd(WELL);
    expect(store.get("a")?.request.body).toEqual({
      size: 30_000,
      sha256: hash("sha256", Buffer.alloc(30_000)),
      isStored: false,
    });
    expect(store.get("a")?.isReplayable).toBe(false);
  });

  it("keeps an open exchange under the id it got, whatever else has that id", () => {
    const { store, recorder } = open();
    const openTap = recorder.openTap("web");
    openTap(headOf("a"))?.onEnd(WELL);
    const stream = openTap(headOf("a"));
    stream?.onResponseHead(200, "OK", ["Content-Type", "text/event-stream"]);
    stream?.onResponseData(Buffer.from("data: 1\n\n"));
    expect(store.get("a~2")?.outcome).toBe("open");
    stream?.onEnd(WELL);
    expect(store.get("a~2")).toMatchObject({ outcome: "complete", messages: 1, kind: "sse" });
    expect(store.get("a")?.kind).toBe("http");
  });

  it("shows an exchange that goes on, with what it has so far, and ends it under the same number", async () => {
    const { store, recorder } = open({ shownAfterMs: 0 });
    const openTap = recorder.openTap("web");
    const [hangs, uploads] = ["hangs", "uploads"].map((id) => openTap(headOf(id, ["Content-Length", "5"])));
    hangs?.onRequestData(Buffer.from("hel"));
    hangs?.onRequestData(Buffer.from("lo"));
    uploads?.onRequestData(Buffer.from("hel"));
    await expect.poll(() => store.stats().count).toBe(2);
    expect(store.get("hangs")).toMatchObject({ outcome: "open", seq: 1, isReplayable: true });
    expect(store.get("hangs")?.request.body).toMatchObject({
      size: 5,
      sha256: hash("sha256", "hello"),
      isStored: true,
    });
    expect((await store.body("hangs", "request"))?.toString()).toBe("hello");
    expect(store.get("uploads")).toMatchObject({
      isReplayable: false,
      request: { body: { size: 3, isPartial: true } },
    });
    hangs?.onResponseHead(200, "OK", ["Content-Type", "text/plain"]);
    expect(store.get("hangs")).toMatchObject({ outcome: "open", response: { status: 200 } });
    hangs?.onResponseData(Buffer.from("done"));
    hangs?.onEnd(WELL);
    expect(store.get("hangs")).toMatchObject({ outcome: "complete", seq: 1, response: { body: { size: 4 } } });
    expect((await store.body("hangs", "request"))?.toString()).toBe("hello");
    uploads?.onRequestData(Buffer.from("lo"));
    uploads?.onResponseHead(200, "OK", ["Content-Type", "text/event-stream"]);
    uploads?.onEnd(WELL);
    expect(store.get("uploads")).toMatchObject({ outcome: "complete", kind: "sse", seq: 2, isReplayable: true });
    expect(recorder.bodies.ledger.heldBytes).toBe(0);
    recorder.close();
  });

  it("shows a request without a length as whole when its body has ended, however long the answer takes", async () => {
    const { store, recorder } = open({ shownAfterMs: 0 });
    const tap = recorder.openTap("web")(headOf("a", ["Transfer-Encoding", "chunked"]));
    tap?.onRequestData(Buffer.from("hel"));
    await expect.poll(() => store.get("a")?.request.body).toMatchObject({ size: 3, isPartial: true });
    tap?.onRequestData(Buffer.from("lo"));
    tap?.onRequestEnd();
    expect(store.get("a")).toMatchObject({ outcome: "open", isReplayable: true });
    expect(store.get("a")?.request.body).toEqual({ size: 5, sha256: hash("sha256", "hello"), isStored: true });
    expect((await store.body("a", "request"))?.toString()).toBe("hello");
    tap?.onEnd(WELL);
    recorder.close();
  });

  it("shows nothing that is not written: names to redact, an answer that is on its way", async () => {
    const { store, recorder } = open({ shownAfterMs: 0, redact: ["password"] });
    const openTap = recorder.openTap("web");
    const json = ["Content-Type", "application/json", "Content-Length", "22"];
    const [half, whole] = ["half", "whole"].map((id) => openTap(headOf(id, json)));
    half?.onRequestData(Buffer.from('{"password":"s3cr'));
    whole?.onRequestData(Buffer.from('{"password":"s3cret!"}'));
    await expect.poll(() => store.stats().count).toBe(2);
    expect(store.get("half")?.request.body).toEqual({
      size: 17,
      sha256: "",
      isStored: false,
      isRedacted: true,
      isPartial: true,
    });
    expect(await store.body("half", "request")).toBeUndefined();
    expect((await store.body("whole", "request"))?.toString()).toBe('{"password":"[redacted]"}');
    expect(store.get("whole")).toMatchObject({ isReplayable: false, request: { body: { isRedacted: true } } });
    whole?.onResponseHead(200, "OK", ["Content-Type", "text/plain"]);
    expect(store.get("whole")?.response?.body).toMatchObject({ isStored: false, isPartial: true });
    for (const tap of [half, whole]) tap?.onEnd(WELL);
    recorder.close();
  });

  it("does not bring back what was deleted while it went on, nor mistakes another with its id for it", async () => {
    const { store, recorder } = open({ shownAfterMs: 0, heldBytesMax: 100 });
    const openTap = recorder.openTap("web");
    const [plain, stream, cut] = ["plain", "stream", "cut"].map((id) => openTap(headOf(id)));
    stream?.onResponseHead(200, "OK", ["Content-Type", "text/event-stream"]);
    await expect.poll(() => store.stats().count).toBe(3);
    expect(store.delete("plain")).toBe(true);
    store.clear();
    for (const id of ["plain", "stream", "cut"]) openTap(headOf(id, ["X-Other", "yes"]))?.onEnd(WELL);
    const others = await store.list({ limit: 9 });
    plain?.onRequestData(Buffer.from("more"));
    plain?.onRequestEnd();
    plain?.onResponseHead(500, "Late", []);
    stream?.onResponseData(Buffer.from("data: 1\n\n"));
    for (const tap of [plain, stream]) tap?.onEnd(WELL);
    cut?.onRequestData(Buffer.alloc(101));
    expect(store.stats()).toMatchObject({ count: 3, dropped: 1 });
    expect(await store.list({ limit: 9 })).toEqual(others);
    expect(others.every(({ outcome, messages }) => outcome === "complete" && messages === 0)).toBe(true);
    recorder.close();
  });

  it("has a large body in its file as soon as that is whole, and leaves none behind that is not wanted", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ggrok-recorder-"));
    const store = new SqliteStore({ database: DatabaseSync, path: join(folder, "a.db") });
    const verify = (_record: DraftRecord, body: Buffer) => ({
      provider: "test",
      verdict: "valid" as const,
      reason: `${body.length} bytes`,
    });
    const recorder = new Recorder({
      store,
      urlOf: () => undefined,
      verifierOf: () => verify,
      shownAfterMs: 0,
      heldBytesMax: 2_000_000,
    });
    const openTap = recorder.openTap("web");
    const [kept, deleted, dropped] = ["kept", "deleted", "dropped"].map((id) => openTap(headOf(id)));
    for (const tap of [kept, deleted, dropped]) {
      tap?.onRequestData(Buffer.alloc(300_000, 65));
      tap?.onRequestEnd();
    }
    const isThere = (id: string) => store.get(id)?.request.body.isStored;
    await expect.poll(() => ["kept", "deleted", "dropped"].map(isThere)).toEqual([true, true, true]);
    expect(store.get("kept")).toMatchObject({ outcome: "open", isReplayable: true });
    expect(await store.body("kept", "request")).toEqual(Buffer.alloc(300_000, 65));
    expect(store.get("kept")?.request.body.sha256).toBe(hash("sha256", Buffer.alloc(300_000, 65)));
    store.delete("deleted");
    dropped?.onResponseData(Buffer.alloc(2_000_001));
    await expect.poll(() => readdirSync(store.bodyFolder)).toHaveLength(1);
    for (const tap of [kept, deleted, dropped]) tap?.onEnd(WELL);
    await expect.poll(() => store.get("kept")?.outcome).toBe("complete");
    expect(store.get("kept")?.signature?.reason).toBe("300000 bytes");
    expect(await store.body("kept", "request")).toEqual(Buffer.alloc(300_000, 65));
    expect(store.stats()).toMatchObject({ count: 1, dropped: 1 });
    expect(readdirSync(store.bodyFolder)).toHaveLength(1);
    expect(recorder.bodies.ledger.heldBytes).toBe(0);
    recorder.close();
    store.close();
    rmSync(folder, { recursive: true });
  });

  it("shows nothing as ended before its file is written", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ggrok-recorder-"));
    const store = new SqliteStore({ database: DatabaseSync, path: join(folder, "a.db") });
    const recorder = new Recorder({ store, urlOf: () => undefined, shownAfterMs: 0 });
    const ends: ((isWhole: boolean) => void)[] = [];
    const spool = vi.spyOn(BodySpool.prototype, "end").mockImplementation((onDone) => ends.push(onDone));
    const openTap = recorder.openTap("web");
    const [upload, next] = ["upload", "next"].map((id) => openTap(headOf(id)));
    upload?.onRequestData(Buffer.alloc(300_000));
    upload?.onEnd(WELL);
    await expect.poll(() => store.get("next")?.outcome).toBe("open");
    expect(store.get("upload")).toBeUndefined();
    for (const end of ends) end(true);
    expect(store.get("upload")).toMatchObject({ outcome: "complete", request: { body: { size: 300_000 } } });
    next?.onEnd(WELL);
    spool.mockRestore();
    recorder.close();
    store.close();
    rmSync(folder, { recursive: true });
  });

  it("counts an exchange once that the store does not take, and lets go of it", async () => {
    const { store, recorder } = open({ shownAfterMs: 0 });
    vi.spyOn(store, "append").mockImplementation(() => {
      store.countDropped();
      return undefined;
    });
    const tap = recorder.openTap("web")(headOf("a"));
    tap?.onRequestData(Buffer.from("hello"));
    await expect.poll(() => store.stats().dropped).toBe(1);
    expect(recorder.bodies.ledger.heldBytes).toBe(0);
    tap?.onRequestData(Buffer.from("more"));
    tap?.onEnd(WELL);
    expect(store.stats()).toMatchObject({ count: 0, dropped: 1 });
    expect(recorder.bodies.ledger.heldBytes).toBe(0);
    recorder.close();
  });

  it("shows a verdict over bytes that came, and none over what it does not have", () => {
    const verify = (_record: DraftRecord, body: Buffer) => ({
      provider: "test",
      verdict: body.toString() === '{"password":"x"}' ? ("valid" as const) : ("invalid" as const),
      reason: "compared",
    });
    const judge = (redact: string[]): string | undefined => {
      const { store, recorder } = open({ verifierOf: () => verify, redact });
      const tap = recorder.openTap("web")(headOf("a", ["Content-Type", "application/json"]));
      tap?.onRequestData(Buffer.from('{"password":"x"}'));
      tap?.onEnd(WELL);
      return store.get("a")?.signature?.verdict;
    };
    expect([judge([]), judge(["password"])]).toEqual(["valid", "unknown"]);
  });
});
