import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, describe, expect, it } from "vitest";
import { Outcome } from "./exchange-record.ts";
import { describeStore, draftOf, messageOf } from "./exchange-store.contract.ts";
import type { ExchangeStore } from "./exchange-store.ts";
import { INSPECTOR_LIMITS } from "./limits.ts";
import { inspectorFolder, openStore, openStoredHistory, storeKeys } from "./open-store.ts";
import { SqliteStore, type SqliteStoreOptions } from "./sqlite-store.ts";

const NO_BODIES = { request: undefined, response: undefined };
const folders: string[] = [];
const stores: ExchangeStore[] = [];

afterEach(() => {
  for (const store of stores.splice(0)) store.close();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "ggrok-store-"));
  folders.push(folder);
  return folder;
}

function openFile(path: string, o: Partial<SqliteStoreOptions> = {}): SqliteStore {
  const store = new SqliteStore({ database: DatabaseSync, path, ...o });
  stores.push(store);
  return store;
}

/** Waits until another reader finds all exchanges in the file. */
async function untilWritten(path: string, store: ExchangeStore): Promise<void> {
  await expect.poll(() => countRows(path), { timeout: 8_000 }).toBe(store.stats().count);
}

function countRows(path: string): number {
  const db = new DatabaseSync(path, { readOnly: true });
  try {
    return Number(db.prepare("SELECT count(*) AS count FROM exchanges").get()?.["count"]);
  } finally {
    db.close();
  }
}

async function openIn(stateDir: string): Promise<{ store: ExchangeStore; key: string; notices: string[] }> {
  const notices: string[] = [];
  const opened = await openStore({ stateDir, folder: "/project", onNotice: (text) => notices.push(text) });
  stores.push(opened.store);
  return { ...opened, notices };
}

describeStore("SqliteStore", async (quota) => {
  return openFile(join(newFolder(), "history.db"), quota === undefined ? {} : { quota });
});

describe("SqliteStore on its file", () => {
  it("has everything again after it was opened again", async () => {
    const path = join(newFolder(), "history.db");
    const store = openFile(path);
    const body = Buffer.from("body");
    const base = draftOf("a");
    const record = { ...base, request: { ...base.request, body: { size: 4, sha256: "", isStored: true } } };
    store.append(record, { request: body, response: undefined }, [messageOf(1), messageOf(2)]);
    const { bytes } = store.stats();
    store.close();
    const again = openFile(path);
    expect(again.get("a")).toEqual({ ...record, seq: 1, messages: 2 });
    expect(await again.body("a", "request")).toEqual(body);
    expect(again.messages("a")).toEqual([messageOf(1), messageOf(2)]);
    expect(again.stats()).toMatchObject({ bytes, count: 1 });
    expect(again.append(draftOf("b"), NO_BODIES, [])?.seq).toBe(2);
  });

  it("writes what has ended though nobody asks for it, and what ended last when it closes", async () => {
    const path = join(newFolder(), "history.db");
    const store = openFile(path);
    const take = (id: string): void =>
      store.take({ bytes: 0, describe: () => ({ draft: draftOf(id), bodies: NO_BODIES }) });
    for (let i = 0; i < 100; i++) take(`x${i}`);
    await expect.poll(() => countRows(path), { timeout: 8_000 }).toBe(100);
    take("last");
    store.close();
    expect(countRows(path)).toBe(101);
  });

  it("is readable by its owner alone, whatever the umask", async () => {
    const folder = newFolder();
    const umask = process.umask(0);
    try {
      const store = openFile(join(folder, "history.db"));
      store.append(draftOf("a"), NO_BODIES, []);
      await untilWritten(join(folder, "history.db"), store);
      for (const name of readdirSync(folder)) {
        const { mode } = statSync(join(folder, name));
        expect(`${name} ${(mode & 0o777).toString(8)}`).toBe(`${name} ${name.endsWith(".bodies") ? 700 : 600}`);
      }
      expect(readdirSync(folder).sort()).toEqual([
        "history.bodies",
        "history.db",
        "history.db-shm",
        "history.db-wal",
        "history.lock",
      ]);
    } finally {
      process.umask(umask);
    }
  });

  it("leaves a damaged record out of its list, says so once, and shows all others", async () => {
    const path = join(newFolder(), "history.db");
    const store = openFile(path);
    for (const id of ["a", "b", "c"]) store.append(draftOf(id, { outcome: Outcome.Open }), NO_BODIES, []);
    store.close();
    const db = new DatabaseSync(path);
    db.exec("UPDATE exchanges SET record = substr(record, 1, 20) WHERE id = 'b'");
    db.close();
    let told = 0;
    const again = openFile(path, { onDamagedRecord: () => (told += 1) });
    for (let i = 0; i < 2; i++) expect((await again.list({ limit: 9 })).map(({ id }) => id)).toEqual(["c", "a"]);
    expect(told).toBe(1);
    expect(() => again.get("b")).toThrow(expect.objectContaining({ code: "ERR_GGROK_HISTORY_UNREADABLE" }));
    expect(again.stats().count).toBe(3);
  });

  it("gives way to everything else while it looks through a long list", async () => {
    const store = openFile(join(newFolder(), "history.db"));
    const base = draftOf("x");
    const fields = Array.from({ length: 1_000 }, (_, i) => [`X-Field-${i}`, "value ".repeat(8)]).flat();
    for (let i = 0; i < 300; i++) {
      store.append({ ...base, id: `x${i}`, request: { ...base.request, fields } }, NO_BODIES, []);
    }
    let isDone = false;
    let turns = 0;
    const count = (): void => {
      if (isDone) return;
      turns += 1;
      setImmediate(count);
    };
    const list = store.list({ limit: 1, filter: { text: "nowhere" } });
    setImmediate(count);
    expect(await list).toEqual([]);
    isDone = true;
    expect(turns).toBeGreaterThan(1);
  });

  it("ends what a killed process left open", () => {
    const path = join(newFolder(), "history.db");
    const store = openFile(path);
    store.append(draftOf("ws", { outcome: Outcome.Open }), NO_BODIES, [messageOf(1)]);
    store.close();
    const again = openFile(path);
    expect(again.get("ws")).toMatchObject({ outcome: "failed", error: "ERR_GGROK_SESSION_LOST", messages: 1 });
  });

  it("keeps large bodies in files, which go with their exchange", async () => {
    const path = join(newFolder(), "history.db");
    const store = openFile(path);
    const big = { size: 3, sha256: "", isStored: true };
    for (const id of ["a", "b"]) {
      const file = join(store.bodyFolder, id);
      writeFileSync(file, id.repeat(3));
      const base = draftOf(id);
      const record = { ...base, request: { ...base.request, body: big } };
      store.append(record, { request: { file, size: 3 }, response: undefined }, []);
    }
    writeFileSync(join(store.bodyFolder, "of-a-killed-process"), "x");
    expect((await store.body("a", "request"))?.toString()).toBe("aaa");
    store.close();
    const again = openFile(path);
    expect(readdirSync(again.bodyFolder).sort()).toEqual(["a", "b"]);
    expect((await again.body("b", "request"))?.toString()).toBe("bbb");
    again.delete("a");
    await expect.poll(() => existsSync(join(again.bodyFolder, "a"))).toBe(false);
    rmSync(join(again.bodyFolder, "b"));
    expect(await again.body("b", "request")).toBeUndefined();
  });

  it("stops with one line when the file cannot grow, keeps what it has, and goes on when it was cleared", async () => {
    const path = join(newFolder(), "history.db");
    const problems: string[] = [];
    const store = openFile(path, { pagesMax: 12, onProblem: (problem) => problems.push(problem) });
    store.append(draftOf("kept"), NO_BODIES, []);
    for (let i = 0; i < 10; i++) {
      store.append(draftOf(`big${i}`), { request: Buffer.alloc(50_000), response: undefined }, []);
      await expect.poll(() => problems.length > 0 || countRows(path) === store.stats().count).toBe(true);
    }
    expect(problems).toEqual(["database or disk is full"]);
    expect(store.append(draftOf("late"), NO_BODIES, [])).toBeUndefined();
    expect(store.stats()).toMatchObject({ isRecording: false, problem: problems[0] });
    expect(store.stats().dropped).toBeGreaterThan(6);
    expect(store.get("kept")?.seq).toBe(1);
    expect(await store.list({ limit: 100 })).toHaveLength(store.stats().count);
    store.clear();
    expect(store.append(draftOf("after"), NO_BODIES, [])).toBeDefined();
    store.close();
    const again = openFile(path);
    expect((await again.list({ limit: 9 })).map(({ id }) => id)).toEqual(["after"]);
    expect(problems).toHaveLength(1);
  });

  it("goes on when it was cleared though a batch failed before all of it had been looked at", async () => {
    const path = join(newFolder(), "history.db");
    const problems: string[] = [];
    const store = openFile(path, { pagesMax: 12, onProblem: (problem) => problems.push(problem) });
    const body = { request: Buffer.alloc(200_000), response: undefined };
    for (let i = 0; i < 8; i++) store.append(draftOf(`big${i}`), body, []);
    await expect.poll(() => problems.length, { timeout: 8_000 }).toBe(1);
    store.clear();
    store.append(draftOf("after"), NO_BODIES, []);
    await untilWritten(path, store);
    expect(store.stats()).toMatchObject({ count: 1, isRecording: true });
    expect(problems).toHaveLength(1);
  });

  it("goes on while somebody else holds the file, shows what waits, and writes it later", async () => {
    const path = join(newFolder(), "history.db");
    const store = openFile(path);
    store.append(draftOf("a"), NO_BODIES, []);
    await untilWritten(path, store);
    const other = new DatabaseSync(path);
    other.exec("BEGIN IMMEDIATE");
    const ids = Array.from({ length: 200 }, (_, i) => `x${i}`);
    for (const id of ids) {
      store.append(draftOf(id), { request: Buffer.from(id), response: undefined }, [messageOf(1), messageOf(2)]);
      if (id === "x100") await new Promise((wake) => setTimeout(wake, 2 * INSPECTOR_LIMITS.FLUSH_INTERVAL_MS));
    }
    store.delete("x7");
    store.addMessages("x9", [messageOf(3)]);
    const kept = ids.filter((id) => id !== "x7");
    expect((await store.list({ limit: 500 })).map(({ id }) => id)).toEqual([...kept.toReversed(), "a"]);
    expect((await store.list({ limit: 3, afterSeq: 1 })).map(({ id }) => id)).toEqual(["x0", "x1", "x2"]);
    expect((await store.list({ limit: 2, beforeSeq: 3 })).map(({ id }) => id)).toEqual(["x0", "a"]);
    expect(await store.body("x150", "request")).toEqual(Buffer.from("x150"));
    expect(store.messages("x9").map(({ n }) => n)).toEqual([1, 2, 3]);
    expect(countRows(path)).toBe(1);
    other.exec("COMMIT");
    other.close();
    store.close();
    const again = openFile(path);
    expect((await again.list({ limit: 500 })).map(({ id }) => id)).toEqual([...kept.toReversed(), "a"]);
    expect(again.messages("x9").map(({ n }) => n)).toEqual([1, 2, 3]);
  });

  it("drops and counts what does not fit into the memory while the file cannot be written", async () => {
    const path = join(newFolder(), "history.db");
    const store = openFile(path);
    const other = new DatabaseSync(path);
    other.exec("BEGIN IMMEDIATE");
    const body = Buffer.alloc(1_048_576);
    for (let i = 0; i < 50; i++) store.append(draftOf(`x${i}`), { request: body, response: undefined }, []);
    const { count, dropped } = store.stats();
    expect(count * body.length).toBeLessThanOrEqual(INSPECTOR_LIMITS.PENDING_BYTES_MAX + body.length);
    expect([count > 30, count + dropped]).toEqual([true, 50]);
    other.exec("COMMIT");
    other.close();
    await untilWritten(path, store);
    await expect.poll(() => store.append(draftOf("again"), NO_BODIES, [])).toBeDefined();
  });
});

describe("openStore", () => {
  it("gives agents of one folder a history each, and the first one's again to the next", async () => {
    const stateDir = newFolder();
    const first = await openIn(stateDir);
    const second = await openIn(stateDir);
    expect([first.key, second.key]).toEqual(storeKeys("/project").slice(0, 2));
    expect(first.notices).toEqual([]);
    expect(second.notices).toEqual(["another agent records in this folder: this one keeps a history of its own"]);
    first.store.append(draftOf("a"), NO_BODIES, []);
    second.store.append(draftOf("b"), NO_BODIES, []);
    expect(second.store.get("a")).toBeUndefined();
    first.store.close();
    const third = await openIn(stateDir);
    expect(third.key).toBe(first.key);
    expect(third.store.get("a")).toBeDefined();
  });

  it("gives the stored histories that nobody holds", async () => {
    const stateDir = newFolder();
    const [first, second] = [await openIn(stateDir), await openIn(stateDir)];
    first.store.append(draftOf("a"), NO_BODIES, []);
    second.store.append(draftOf("b"), NO_BODIES, []);
    second.store.close();
    const place = { stateDir, heldMs: 0, onNotice: () => {} };
    const { stores: found, held } = await openStoredHistory({ ...place, folder: "/project" });
    stores.push(...found);
    expect(held).toBe(1);
    const listed = await Promise.all(found.map((store) => store.list({ limit: 9 })));
    expect(listed.map((records) => records.map(({ id }) => id))).toEqual([["b"]]);
    expect(await openStoredHistory({ ...place, folder: "/other" })).toEqual({ stores: [], held: 0 });
  });

  it.each([
    ["random bytes", () => Buffer.from("this is no database at all, only a text that is long enough".repeat(100))],
    [
      "a damaged page",
      (content: Buffer) => {
        content.fill(0xee, 4_096);
        return content;
      },
    ],
  ])("sets a damaged file aside and begins a new one: %s", async (_what, damage) => {
    const stateDir = newFolder();
    const { store, key } = await openIn(stateDir);
    for (let i = 0; i < 50; i++) store.append(draftOf(`a${i}`), NO_BODIES, []);
    store.close();
    const path = join(inspectorFolder(stateDir), `${key}.db`);
    const damaged = damage(readFileSync(path));
    writeFileSync(path, damaged);
    const again = await openIn(stateDir);
    expect(again.notices).toHaveLength(1);
    expect(again.notices[0]).toMatch(/were damaged; they are kept as /);
    const aside = again.notices[0]?.split("kept as ")[1] ?? "";
    expect(readFileSync(aside).equals(damaged)).toBe(true);
    expect(again.store.kind).toBe("sqlite");
    expect(again.store.append(draftOf("a"), NO_BODIES, [])?.id).toBe("a");
    expect(again.store.get("a")).toBeDefined();
  });

  it("sets the file of an earlier version aside and begins a new one; a reader leaves it as it is", async () => {
    const stateDir = newFolder();
    const { store, key } = await openIn(stateDir);
    store.close();
    const path = join(inspectorFolder(stateDir), `${key}.db`);
    const db = new DatabaseSync(path);
    db.exec(
      "ALTER TABLE exchanges RENAME TO old; CREATE TABLE exchanges (seq INTEGER PRIMARY KEY, id TEXT, record TEXT)",
    );
    db.exec("INSERT INTO exchanges VALUES (1, 'a', '')");
    db.close();
    const before = readFileSync(path);
    const place = { stateDir, folder: "/project", heldMs: 0, onNotice: () => {} };
    await expect(openStoredHistory(place)).rejects.toMatchObject({
      code: "ERR_GGROK_HISTORY_UNREADABLE",
      message: expect.stringContaining("it was written by an earlier version of ggrok"),
    });
    expect(readFileSync(path).equals(before)).toBe(true);
    const again = await openIn(stateDir);
    expect(again.notices[0]).toMatch(/are of an earlier version of ggrok; they are kept as /);
    expect(readFileSync(again.notices[0]?.split("kept as ")[1] ?? "").equals(before)).toBe(true);
    expect(again.store.append(draftOf("a"), NO_BODIES, [])?.seq).toBe(1);
  });

  it("begins anew where the file is empty", async () => {
    const stateDir = newFolder();
    const { store, key } = await openIn(stateDir);
    store.close();
    truncateSync(join(inspectorFolder(stateDir), `${key}.db`), 0);
    expect((await openIn(stateDir)).store.kind).toBe("sqlite");
  });

  it("leaves the file of a later version alone and records in memory", async () => {
    const stateDir = newFolder();
    const { store, key } = await openIn(stateDir);
    store.close();
    const path = join(inspectorFolder(stateDir), `${key}.db`);
    const db = new DatabaseSync(path);
    db.exec("PRAGMA user_version = 99");
    db.close();
    const before = readFileSync(path);
    const again = await openIn(stateDir);
    expect(again.store.kind).toBe("memory");
    expect(again.notices[0]).toMatch(/memory only: it was written by a later version/);
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  it("records in memory where no folder can be made at all", async () => {
    const { store, notices } = await openIn("/proc/nothing-can-be-made-here");
    expect(store.kind).toBe("memory");
    expect(notices[0]).toMatch(/^exchanges are recorded in memory only: E\w+/);
  });

  it("records in memory where there is no SQLite or no folder, and says so", async () => {
    const notices: string[] = [];
    const onNotice = (text: string): number => notices.push(text);
    const stateDir = newFolder();
    const none = await openStore({ stateDir, folder: "/p", onNotice, loadDatabase: async () => undefined });
    writeFileSync(join(stateDir, "inspector"), "a file where the folder should be");
    const blocked = await openStore({ stateDir, folder: "/p", onNotice });
    expect([none.store.kind, blocked.store.kind]).toEqual(["memory", "memory"]);
    expect(notices[0]).toBe("exchanges are recorded in memory only: this Node has no SQLite");
    expect(notices[1]).toMatch(/^exchanges are recorded in memory only: EEXIST/);
  });
});
