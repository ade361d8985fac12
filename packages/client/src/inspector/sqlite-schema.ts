import type { DatabaseSync } from "node:sqlite";

/** Version of the tables below, in `PRAGMA user_version`. */
export const SCHEMA_VERSION = 1;

/** The file was written by a later version of ggrok. */
export class NewerHistoryError extends Error {}

/**
 * Takes the file for this process alone and makes the tables where they are missing.
 *
 * The journal keeps a killed process from leaving half a batch; nothing waits for the disk to have it, since a history that a
 * power cut may cost its last seconds is worth less than a tunnel that stands still while a slow disk syncs.
 *
 * @throws NewerHistoryError, or the error of SQLite
 */
export function prepareDatabase(db: DatabaseSync): void {
  db.exec(
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = PERSIST; PRAGMA journal_size_limit = 8388608; PRAGMA synchronous = OFF;",
  );
  // The lock is taken by the first write and kept.
  db.exec("BEGIN EXCLUSIVE");
  try {
    const version = Number(db.prepare("PRAGMA user_version").get()?.["user_version"]);
    if (version > SCHEMA_VERSION) throw new NewerHistoryError("it was written by a later version of ggrok");
    if (version === 0) createTables(db);
    db.exec("COMMIT");
  } catch (error) {
    db.exec("ROLLBACK");
    throw error;
  }
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
    record TEXT NOT NULL,
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
