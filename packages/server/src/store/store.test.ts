import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FULL_GRANT } from "./grant.ts";
import { MemoryStore } from "./memory.ts";
import { SqliteStore } from "./sqlite.ts";
import { describeStore } from "./store.contract.ts";

let folder: string;
let count = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ggrok-store-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});
function newDir(): string {
  count += 1;
  return join(folder, String(count));
}

describeStore("in memory", () => new MemoryStore());
describeStore("in SQLite", () => new SqliteStore(newDir()));

const TOKEN = {
  id: "0123456789abcdef",
  name: "a",
  digest: Buffer.alloc(32, 1),
  grant: FULL_GRANT,
  createdAt: 1,
  expiresAt: undefined,
  lastUsedAt: undefined,
};
const WISH = { place: "p", owner: "token:a", source: "claimed", now: 1, expiresAt: undefined } as const;

describe("the database", () => {
  it("is there again after it was closed", () => {
    const dir = newDir();
    const before = new SqliteStore(dir);
    before.addToken(TOKEN);
    before.reserve(WISH);
    before.close();
    const after = new SqliteStore(dir);
    expect([after.tokens(), after.reservations(1)]).toMatchObject([[TOKEN], [{ place: "p", owner: "token:a" }]]);
    after.close();
  });

  it("belongs to its user alone", () => {
    const dir = newDir();
    const store = new SqliteStore(dir);
    store.reserve(WISH);
    const modes = ["", "relay.db", "relay.db-wal", "relay.db-shm"].map(
      (name) => statSync(join(dir, name)).mode & 0o777,
    );
    expect(modes.map((mode) => mode.toString(8))).toEqual(["700", "600", "600", "600"]);
    store.close();
  });

  it("shows another process's writes at once and by its revision, and its own not", () => {
    const dir = newDir();
    const [relay, operator] = [new SqliteStore(dir), new SqliteStore(dir)];
    const first = relay.revision();
    relay.reserve(WISH);
    expect(relay.revision()).toBe(first);
    operator.addToken(TOKEN);
    expect(relay.revision()).not.toBe(first);
    expect(relay.tokens()).toEqual([TOKEN]);
    relay.close();
    operator.close();
  });

  it("holds no token, only digests", () => {
    const dir = newDir();
    const store = new SqliteStore(dir);
    store.addToken(TOKEN);
    store.close();
    expect(readFileSync(join(dir, "relay.db")).includes(TOKEN.digest)).toBe(true);
  });

  it("refuses one that a newer relay has written, and leaves it alone", () => {
    const dir = newDir();
    new SqliteStore(dir).close();
    const db = new DatabaseSync(join(dir, "relay.db"));
    db.exec("PRAGMA user_version = 99");
    db.close();
    expect(() => new SqliteStore(dir)).toThrow("version 99");
    expect(() => new SqliteStore(dir)).toThrow("version 99");
  });

  it("refuses a file that is no database", () => {
    const dir = newDir();
    new SqliteStore(dir).close();
    writeFileSync(join(dir, "relay.db"), "not a database, and long enough to be read as one ".repeat(100));
    expect(() => new SqliteStore(dir)).toThrow(/relay\.db cannot be used/u);
    expect(readFileSync(join(dir, "relay.db"), "utf8")).toMatch(/^not a database/u);
  });
});
