import { closeSync, openSync } from "node:fs";
import type { DatabaseSync, SQLOutputValue, StatementSync } from "node:sqlite";
import { GgrokError } from "@ggrok/protocol";
import type { BodySide, ExchangeRecord, RecordedMessage } from "./exchange-record.ts";
import { lockHistory, prepareDatabase } from "./sqlite-schema.ts";

/** What is known of an exchange without reading its record. */
export interface StoredRow {
  readonly seq: number;
  readonly id: string;
  /** Bytes it counts for, without its messages. */
  readonly bytes: number;
  readonly isOpen: boolean;
  readonly requestFile: string | undefined;
  readonly responseFile: string | undefined;
}

/** How many messages of an exchange there are. */
export interface StoredMessages {
  readonly seq: number;
  readonly count: number;
  /** Number of the newest. */
  readonly lastN: number;
  readonly bytes: number;
}

/** The SQLite file of a history, held for this process alone and read; what comes is written by a thread of its own. */
export class HistoryFile {
  readonly #db: DatabaseSync;
  readonly #lock: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /** @throws the error of SQLite when the file is held by another process (errcode 5), damaged (11, 26) or out of reach */
  constructor(database: typeof DatabaseSync, path: string) {
    this.#lock = lockHistory(database, path.replace(/\.db$/, ".lock"));
    let db: DatabaseSync | undefined;
    try {
      // SQLite gives the files beside it the same mode.
      closeSync(openSync(path, "a", 0o600));
      db = new database(path, { timeout: 250 });
      prepareDatabase(db);
      this.#db = db;
    } catch (error) {
      db?.close();
      this.#lock.close();
      throw error;
    }
  }

  /** All exchanges, the oldest first. */
  *rows(): Generator<StoredRow> {
    const rows = this.#sql("SELECT seq, id, bytes, is_open, request_file, response_file FROM exchanges ORDER BY seq");
    for (const row of rows.iterate()) {
      yield {
        seq: Number(row["seq"]),
        id: String(row["id"]),
        bytes: Number(row["bytes"]),
        isOpen: row["is_open"] === 1,
        requestFile: toText(row["request_file"]),
        responseFile: toText(row["response_file"]),
      };
    }
  }

  /** Of all exchanges that have messages. */
  *messageCounts(): Generator<StoredMessages> {
    const counts = this.#sql(
      "SELECT seq, count(*) AS count, max(n) AS last, sum(length(data)) AS bytes FROM messages GROUP BY seq",
    );
    for (const row of counts.iterate()) {
      const [seq, count, lastN, bytes] = [row["seq"], row["count"], row["last"], row["bytes"]].map(Number);
      yield { seq: seq ?? 0, count: count ?? 0, lastN: lastN ?? 0, bytes: bytes ?? 0 };
    }
  }

  /** Writes the record of an exchange that is over. Only before the writer has begun. */
  end(record: ExchangeRecord): void {
    const json = Buffer.from(JSON.stringify(record));
    this.#sql("UPDATE exchanges SET is_open = 0, record = ? WHERE seq = ?").run(json, record.seq);
  }

  /** The record of an exchange as JSON. @throws GgrokError when the file cannot be read */
  record(seq: number): string | undefined {
    return asked(() => this.loadRecord(seq));
  }

  /** The same. @throws the error of SQLite, by which whoever opens the file tells what is to become of it */
  loadRecord(seq: number): string | undefined {
    const row = this.#sql("SELECT record FROM exchanges WHERE seq = ?").get(seq);
    return row === undefined ? undefined : textOf(row["record"]);
  }

  /** Records as JSON, by seq. @throws GgrokError when the file cannot be read */
  records(firstSeq: number, lastSeq: number): Map<number, string> {
    const rows = asked(() =>
      this.#sql("SELECT seq, record FROM exchanges WHERE seq BETWEEN ? AND ?").all(firstSeq, lastSeq),
    );
    return new Map(rows.map((row) => [Number(row["seq"]), textOf(row["record"])]));
  }

  /** A body that has no file of its own. @throws GgrokError when the file cannot be read */
  body(seq: number, side: BodySide): Buffer {
    const row = asked(() => this.#sql(`SELECT ${side} AS body FROM exchanges WHERE seq = ?`).get(seq));
    return toBuffer(row?.["body"]);
  }

  /** Messages with numbers between two, in order. @throws GgrokError when the file cannot be read */
  messages(seq: number, o: { afterN: number; beforeN: number; limit: number }): RecordedMessage[] {
    const rows = asked(() =>
      this.#sql("SELECT * FROM messages WHERE seq = ? AND n > ? AND n < ? ORDER BY n LIMIT ?").all(
        seq,
        o.afterN,
        o.beforeN,
        o.limit,
      ),
    );
    return rows.map(readMessage);
  }

  close(): void {
    this.#db.close();
    this.#lock.close();
  }

  #sql(text: string): StatementSync {
    let statement = this.#statements.get(text);
    if (statement === undefined) {
      statement = this.#db.prepare(text);
      this.#statements.set(text, statement);
    }
    return statement;
  }
}

/** Reads a record. @throws GgrokError when it is damaged */
export function parseRecord(json: string): ExchangeRecord {
  try {
    return JSON.parse(json) as ExchangeRecord;
  } catch (cause) {
    const message = "the record of this exchange is damaged; others are not affected";
    throw new GgrokError("ERR_GGROK_HISTORY_UNREADABLE", { message, cause });
  }
}

/** Runs a query. @throws GgrokError when the file cannot be read */
function asked<T>(run: () => T): T {
  try {
    return run();
  } catch (cause) {
    const message = `the recorded exchanges cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new GgrokError("ERR_GGROK_HISTORY_UNREADABLE", { message, cause });
  }
}

function readMessage(row: Record<string, SQLOutputValue>): RecordedMessage {
  return {
    n: Number(row["n"]),
    direction: row["direction"] as RecordedMessage["direction"],
    opcode: row["opcode"] as RecordedMessage["opcode"],
    size: Number(row["size"]),
    at: Number(row["at"]),
    data: toBuffer(row["data"]),
    isWhole: row["is_whole"] === 1,
  };
}

function toBuffer(value: SQLOutputValue | undefined): Buffer {
  if (!(value instanceof Uint8Array)) return Buffer.alloc(0);
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}

function textOf(value: SQLOutputValue | undefined): string {
  return toBuffer(value).toString("utf8");
}

function toText(value: SQLOutputValue | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}
