import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type SQLOutputValue, type StatementSync } from "node:sqlite";
import { makeFolder } from "./folder.ts";
import { grantSchema } from "./grant.ts";
import { migrate } from "./migrations.ts";
import {
  decideReservation,
  type Reservation,
  type ReservationSource,
  type ReservationWish,
  type Store,
  type TokenRecord,
} from "./store.ts";

/** Name of the database in the data directory. */
const FILE_NAME = "relay.db";
/** How long a write waits for another process's: the operator's commands take milliseconds. */
const BUSY_TIMEOUT_MS = 2_000;

type Row = Record<string, SQLOutputValue>;

/**
 * One SQLite database that several processes may have open: the relay, its successor while it drains, the operator's
 * commands. WAL, and each commit is synced before it returns: what was acknowledged survives a crash at any moment.
 */
export class SqliteStore implements Store {
  readonly isDurable = true;
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /**
   * Opens the database of a data directory, both made when they are missing.
   *
   * @throws Error saying what is wrong with it; a database that cannot be trusted is never replaced by an empty one
   */
  constructor(dataDir: string) {
    makeFolder(dataDir);
    const path = join(dataDir, FILE_NAME);
    // SQLite gives the files beside it the same mode.
    closeSync(openSync(path, "a", 0o600));
    this.#db = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
    try {
      this.#db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");
      const check = this.#db.prepare("PRAGMA quick_check(1)").get();
      if (check?.["quick_check"] !== "ok") throw new Error(`damaged: ${String(check?.["quick_check"])}`);
      migrate(this.#db);
    } catch (error) {
      this.#db.close();
      throw new Error(`${path} cannot be used: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
  }

  revision(): number {
    return Number(this.#sql("PRAGMA data_version").get()?.["data_version"]);
  }

  tokens(): readonly TokenRecord[] {
    return this.#sql("SELECT * FROM tokens ORDER BY created_at, name").all().map(readToken);
  }

  addToken(record: TokenRecord): boolean {
    const { changes } = this.#sql(
      "INSERT INTO tokens (id, name, digest, grants, created_at, expires_at, last_used_at) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    ).run(
      record.id,
      record.name,
      record.digest,
      JSON.stringify(record.grant),
      record.createdAt,
      record.expiresAt ?? null,
      record.lastUsedAt ?? null,
    );
    return Number(changes) > 0;
  }

  removeToken(id: string): boolean {
    return Number(this.#sql("DELETE FROM tokens WHERE id = ?").run(id).changes) > 0;
  }

  touchTokens(uses: ReadonlyMap<string, number>): void {
    if (uses.size === 0) return;
    this.#write(() => {
      for (const [id, at] of uses) this.#sql("UPDATE tokens SET last_used_at = ? WHERE id = ?").run(at, id);
    });
  }

  reservations(now: number): readonly Reservation[] {
    return this.#sql("SELECT * FROM reservations WHERE expires_at IS NULL OR expires_at > ? ORDER BY place")
      .all(now)
      .map(readReservation);
  }

  reservation(place: string, now: number): Reservation | undefined {
    const row = this.#sql("SELECT * FROM reservations WHERE place = ? AND (expires_at IS NULL OR expires_at > ?)").get(
      place,
      now,
    );
    return row === undefined ? undefined : readReservation(row);
  }

  countReservations(now: number, owner?: string): number {
    const row =
      owner === undefined
        ? this.#sql("SELECT count(*) AS count FROM reservations WHERE expires_at IS NULL OR expires_at > ?").get(now)
        : this.#sql(
            "SELECT count(*) AS count FROM reservations WHERE owner = ? AND (expires_at IS NULL OR expires_at > ?)",
          ).get(owner, now);
    return Number(row?.["count"]);
  }

  reserve(wish: ReservationWish): Reservation {
    // The lock comes before the look: of two processes that want one place, the second sees what the first did.
    return this.#write(() => {
      const row = this.#sql("SELECT * FROM reservations WHERE place = ?").get(wish.place);
      const present = row === undefined ? undefined : readReservation(row);
      const next = decideReservation(present, wish);
      if (next === undefined) {
        if (present === undefined) throw new Error("a place that nobody has is never refused");
        return present;
      }
      this.#sql(
        "INSERT OR REPLACE INTO reservations (place, owner, source, created_at, last_used_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
      ).run(next.place, next.owner, next.source, next.createdAt, next.lastUsedAt, next.expiresAt ?? null);
      return next;
    });
  }

  batch(action: () => void): void {
    this.#write(action);
  }

  release(place: string): boolean {
    return Number(this.#sql("DELETE FROM reservations WHERE place = ?").run(place).changes) > 0;
  }

  prune(now: number, maxGenerated: number): number {
    const isDue = this.#sql(
      "SELECT (SELECT count(*) FROM reservations WHERE source = 'generated') > ? OR EXISTS (SELECT 1 FROM reservations WHERE expires_at <= ?) AS due",
    ).get(maxGenerated, now);
    if (Number(isDue?.["due"]) === 0) return 0;
    return this.#write(() => {
      const old = this.#sql("DELETE FROM reservations WHERE expires_at <= ?").run(now).changes;
      const excess = this.#sql(
        "DELETE FROM reservations WHERE place IN (SELECT place FROM reservations WHERE source = 'generated' ORDER BY last_used_at DESC LIMIT -1 OFFSET ?)",
      ).run(maxGenerated).changes;
      return Number(old) + Number(excess);
    });
  }

  close(): void {
    this.#statements.clear();
    this.#db.close();
  }

  #sql(text: string): StatementSync {
    let statement = this.#statements.get(text);
    if (statement === undefined) {
      statement = this.#db.prepare(text);
      this.#statements.set(text, statement);
    }
    return statement;
  }

  #write<T>(action: () => T): T {
    if (this.#db.isTransaction) return action();
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      const result = action();
      this.#db.exec("COMMIT");
      return result;
    } catch (error) {
      // A full disk rolls back by itself; a second ROLLBACK would hide why.
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }
}

function readToken(row: Row): TokenRecord {
  return {
    id: String(row["id"]),
    name: String(row["name"]),
    digest: Buffer.from(row["digest"] as Uint8Array),
    grant: grantSchema.parse(JSON.parse(String(row["grants"]))),
    createdAt: Number(row["created_at"]),
    expiresAt: optionalNumber(row["expires_at"]),
    lastUsedAt: optionalNumber(row["last_used_at"]),
  };
}

function readReservation(row: Row): Reservation {
  return {
    place: String(row["place"]),
    owner: String(row["owner"]),
    source: String(row["source"]) as ReservationSource,
    createdAt: Number(row["created_at"]),
    lastUsedAt: Number(row["last_used_at"]),
    expiresAt: optionalNumber(row["expires_at"]),
  };
}

function optionalNumber(value: SQLOutputValue | undefined): number | undefined {
  return value === null || value === undefined ? undefined : Number(value);
}
