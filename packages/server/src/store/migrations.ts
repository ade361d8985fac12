import type { DatabaseSync } from "node:sqlite";

/** How the database came to be what it is, oldest first. Rows are never changed, only added. */
const MIGRATIONS: readonly string[] = [
  `CREATE TABLE tokens (
     id TEXT PRIMARY KEY,
     name TEXT NOT NULL UNIQUE,
     digest BLOB NOT NULL UNIQUE,
     grants TEXT NOT NULL,
     created_at INTEGER NOT NULL,
     expires_at INTEGER,
     last_used_at INTEGER
   ) STRICT;
   CREATE TABLE reservations (
     place TEXT PRIMARY KEY,
     owner TEXT NOT NULL,
     source TEXT NOT NULL CHECK (source IN ('operator', 'claimed', 'generated')),
     created_at INTEGER NOT NULL,
     last_used_at INTEGER NOT NULL,
     expires_at INTEGER
   ) STRICT;
   CREATE INDEX reservations_by_owner ON reservations (owner);
   CREATE INDEX reservations_by_end ON reservations (expires_at);`,
];

/**
 * Brings a database up to date. Several processes may try at once: the lock comes before the look.
 *
 * @throws Error when a newer relay has written it
 */
export function migrate(db: DatabaseSync): void {
  if (versionOf(db) === MIGRATIONS.length) return;
  db.exec("BEGIN IMMEDIATE");
  try {
    const version = versionOf(db);
    if (version > MIGRATIONS.length) {
      throw new Error(
        `it has version ${String(version)} and this relay knows versions up to ${String(MIGRATIONS.length)}: use the newer relay`,
      );
    }
    for (const step of MIGRATIONS.slice(version)) db.exec(step);
    db.exec(`PRAGMA user_version = ${String(MIGRATIONS.length)}`);
    db.exec("COMMIT");
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    throw error;
  }
}

function versionOf(db: DatabaseSync): number {
  return Number(db.prepare("PRAGMA user_version").get()?.["user_version"]);
}
