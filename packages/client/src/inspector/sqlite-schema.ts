import { writeFileSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";

/** Version of the tables below, in `PRAGMA user_version`. */
const SCHEMA_VERSION = 1;

/** Bytes of a page: several exchanges fit into one, and large bodies take few. */
export const PAGE_BYTES = 16_384;

/** Columns of the tables below, as `PRAGMA table_info` has them. */
const COLUMNS: Readonly<Record<string, string>> = {
  exchanges:
    "seq INTEGER, id TEXT, bytes INTEGER, is_open INTEGER, request_file TEXT, response_file TEXT, record BLOB, request BLOB, response BLOB",
  messages: "seq INTEGER, n INTEGER, direction TEXT, opcode TEXT, size INTEGER, at REAL, is_whole INTEGER, data BLOB",
};

/** The file was written by another version of ggrok. */
export class HistoryFormatError extends Error {
  /** Whoever wrote it may run again, and is to find it as it was. */
  readonly isLater: boolean;

  constructor(isLater: boolean) {
    super(`it was written by ${isLater ? "a later" : "an earlier"} version of ggrok`);
    this.isLater = isLater;
  }
}

/**
 * Takes a history for this process alone: whoever holds the lock writes to the file beside it. A killed process holds none.
 *
 * @throws the error of SQLite, errcode 5 when another process has it
 */
export function lockHistory(database: typeof DatabaseSync, path: string): DatabaseSync {
  // Nothing is ever written to it, so that whatever stands in it is not ours.
  writeFileSync(path, "", { mode: 0o600 });
  const lock = new database(path, { timeout: 0 });
  try {
    lock.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    return lock;
  } catch (error) {
    lock.close();
    throw error;
  }
}

/**
 * Makes the tables where they are missing.
 *
 * The journal keeps a killed process from leaving half a batch; nothing waits for the disk to have it, since a history that a
 * power cut may cost its last seconds is worth less than a disk that is kept busy. Reading goes on while the writer writes.
 *
 * @throws HistoryFormatError, or the error of SQLite
 */
export function prepareDatabase(db: DatabaseSync): void {
  db.exec(`PRAGMA page_size = ${PAGE_BYTES}; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF`);
  db.exec("BEGIN IMMEDIATE");
  try {
    const version = Number(db.prepare("PRAGMA user_version").get()?.["user_version"]);
    if (version > SCHEMA_VERSION) throw new HistoryFormatError(true);
    if (version === 0) createTables(db);
    else if (version < SCHEMA_VERSION || !hasOurTables(db)) throw new HistoryFormatError(false);
    db.exec("COMMIT");
  } catch (error) {
    db.exec("ROLLBACK");
    throw error;
  }
}

function hasOurTables(db: DatabaseSync): boolean {
  return Object.entries(COLUMNS).every(([table, expected]) => {
    const columns = db.prepare("SELECT name, type FROM pragma_table_info(?)").all(table);
    return columns.map(({ name, type }) => `${String(name)} ${String(type)}`).join(", ") === expected;
  });
}

function createTables(db: DatabaseSync): void {
  // No index on the id: the store has all ids in memory, and an index costs a fifth of each insert.
  db.exec(`CREATE TABLE exchanges (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    is_open INTEGER NOT NULL,
    request_file TEXT,
    response_file TEXT,
    record BLOB NOT NULL,
    request BLOB,
    response BLOB
  )`);
  db.exec(`CREATE TABLE messages (
    seq INTEGER NOT NULL,
    n INTEGER NOT NULL,
    direction TEXT NOT NULL,
    opcode TEXT NOT NULL,
    size INTEGER NOT NULL,
    at REAL NOT NULL,
    is_whole INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (seq, n)
  ) WITHOUT ROWID`);
  db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
}
