import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, unlink } from "node:fs";
import { basename, join } from "node:path";
import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from "node:sqlite";
import { ChangeFeed } from "./change-feed.ts";
import {
  type BodyFile,
  type BodySide,
  type DraftBodies,
  type DraftRecord,
  type ExchangeRecord,
  Outcome,
  type RecordedMessage,
} from "./exchange-record.ts";
import type { ExchangeStore, ListQuery, StoreChange, StoreQuota, StoreStats } from "./exchange-store.ts";
import { createMatcher } from "./filter.ts";
import { INSPECTOR_LIMITS } from "./limits.ts";
import { prepareDatabase } from "./sqlite-schema.ts";
import { headBytes, keepNewest, uniqueId } from "./store-rules.ts";

/** How many rows a filtered list reads at a time. */
const SCAN_ROWS = 500;

/** What is kept in memory of each exchange. */
interface Entry {
  readonly seq: number;
  bytes: number;
  messages: number;
  messagesDropped: number;
  messageBytes: number;
  requestFile: string | undefined;
  responseFile: string | undefined;
}

interface PendingRow {
  readonly entry: Entry;
  record: ExchangeRecord;
  bodies: DraftBodies;
  isNew: boolean;
}

/** What a store on disk is made of. */
export interface SqliteStoreOptions {
  readonly database: typeof DatabaseSync;
  readonly path: string;
  readonly quota?: StoreQuota;
  /** Hears once that nothing is recorded any more, and why. */
  readonly onProblem?: (problem: string) => void;
}

/**
 * The history in a SQLite file that belongs to one process, with large bodies in files beside it. Records are gathered and
 * written in one transaction; whoever reads, writes first. A state machine that reads better whole.
 */
export class SqliteStore implements ExchangeStore {
  readonly kind = "sqlite";
  readonly bodyFolder: string;
  readonly #db: DatabaseSync;
  readonly #quota: StoreQuota;
  readonly #onProblem: ((problem: string) => void) | undefined;
  readonly #feed = new ChangeFeed();
  readonly #statements = new Map<string, StatementSync>();
  /** By id, oldest first. */
  readonly #entries = new Map<string, Entry>();
  readonly #rows = new Map<number, PendingRow>();
  readonly #newMessages = new Map<Entry, RecordedMessage[]>();
  #pendingBytes = 0;
  #bytes = 0;
  #seq = 0;
  #dropped = 0;
  #timer: NodeJS.Timeout | undefined;
  #isSoon = false;
  #problem: string | undefined;
  #isClosed = false;

  /** @throws the error of SQLite when the file is held by another process (errcode 5), damaged (11, 26) or out of reach */
  constructor(o: SqliteStoreOptions) {
    this.#quota = o.quota ?? {
      bytesMax: INSPECTOR_LIMITS.STORE_BYTES_MAX,
      exchangesMax: INSPECTOR_LIMITS.STORE_EXCHANGES_MAX,
    };
    this.#onProblem = o.onProblem;
    this.bodyFolder = o.path.replace(/\.db$/, ".bodies");
    // SQLite gives the files beside it the same mode.
    closeSync(openSync(o.path, "a", 0o600));
    this.#db = new o.database(o.path, { timeout: 250 });
    try {
      prepareDatabase(this.#db);
      mkdirSync(this.bodyFolder, { recursive: true, mode: 0o700 });
      this.#load();
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  // ---- writing

  append(draft: DraftRecord, bodies: DraftBodies, messages: readonly RecordedMessage[]): ExchangeRecord | undefined {
    if (this.#isClosed || this.#problem !== undefined || this.#pendingBytes > INSPECTOR_LIMITS.PENDING_BYTES_MAX) {
      this.countDropped();
      this.#forgetFiles(bodies);
      return undefined;
    }
    const id = uniqueId(draft.id, this.#entries);
    const record: ExchangeRecord = { ...draft, id, seq: ++this.#seq };
    const entry: Entry = {
      seq: record.seq,
      bytes: 0,
      messages: 0,
      messagesDropped: 0,
      messageBytes: 0,
      requestFile: undefined,
      responseFile: undefined,
    };
    this.#entries.set(id, entry);
    this.#put(entry, record, bodies, true);
    if (messages.length > 0) this.#gather(entry, messages);
    this.#schedule();
    const shown = messages.length > 0 ? withCounts(record, entry) : record;
    if (this.#feed.isHeard) this.#feed.emit({ kind: "exchange", record: shown });
    return shown;
  }

  amend(record: ExchangeRecord, bodies: DraftBodies): ExchangeRecord | undefined {
    const entry = this.#entries.get(record.id);
    if (entry === undefined || this.#isClosed || this.#problem !== undefined) {
      this.#forgetFiles(bodies);
      return undefined;
    }
    this.#put(entry, record, bodies, this.#rows.get(entry.seq)?.isNew === true);
    this.#schedule();
    const shown = withCounts(record, entry);
    this.#feed.emit({ kind: "exchange", record: shown });
    return shown;
  }

  addMessages(id: string, messages: readonly RecordedMessage[]): void {
    const entry = this.#entries.get(id);
    const last = messages.at(-1);
    if (entry === undefined || last === undefined || this.#isClosed || this.#problem !== undefined) return;
    this.#gather(entry, messages);
    this.#schedule();
    this.#feed.emit({ kind: "messages", id, lastN: last.n });
  }

  delete(id: string): boolean {
    this.#flush();
    const entry = this.#entries.get(id);
    if (entry === undefined) return false;
    if (!this.#transact(() => this.#deleteRows(entry.seq, entry.seq))) return false;
    this.#forget(id, entry);
    this.#feed.emit({ kind: "removed", id });
    return true;
  }

  clear(): void {
    this.#flush();
    if (!this.#transact(() => this.#db.exec("DELETE FROM exchanges; DELETE FROM messages;"))) return;
    for (const [id, entry] of this.#entries) this.#forget(id, entry);
    // There is room again, where that was the trouble.
    this.#problem = undefined;
    try {
      // An empty database gives its space back in no time.
      this.#db.exec("VACUUM");
    } catch {
      // The space is used again by what comes.
    }
    this.#feed.emit({ kind: "cleared" });
  }

  countDropped(): void {
    this.#dropped += 1;
    this.#feed.emit({ kind: "stats" });
  }

  // ---- reading

  get(id: string): ExchangeRecord | undefined {
    this.#flush();
    const entry = this.#entries.get(id);
    if (entry === undefined) return undefined;
    const row = this.#sql("SELECT record FROM exchanges WHERE seq = ?").get(entry.seq);
    return row === undefined ? undefined : this.#read(row);
  }

  list(query: ListQuery): readonly ExchangeRecord[] {
    this.#flush();
    const matches = query.filter === undefined ? undefined : createMatcher(query.filter);
    const isUpwards = query.afterSeq !== undefined;
    const sql = this.#sql(
      `SELECT seq, record FROM exchanges WHERE seq > ? AND seq < ? ORDER BY seq ${isUpwards ? "ASC" : "DESC"} LIMIT ?`,
    );
    let after = query.afterSeq ?? 0;
    let before = query.beforeSeq ?? Number.MAX_SAFE_INTEGER;
    const found: ExchangeRecord[] = [];
    for (;;) {
      const rows = sql.all(after, before, matches === undefined ? query.limit : SCAN_ROWS);
      for (const row of rows) {
        const record = this.#read(row);
        if (isUpwards) after = record.seq;
        else before = record.seq;
        if (matches !== undefined && !matches(record)) continue;
        found.push(record);
        if (found.length >= query.limit) return found;
      }
      if (matches === undefined || rows.length < SCAN_ROWS) return found;
    }
  }

  body(id: string, side: BodySide): Buffer | undefined {
    const record = this.get(id);
    const body = side === "request" ? record?.request.body : record?.response?.body;
    const entry = this.#entries.get(id);
    if (body === undefined || !body.isStored || entry === undefined) return undefined;
    const file = side === "request" ? entry.requestFile : entry.responseFile;
    if (file !== undefined) return readBody(join(this.bodyFolder, file));
    const row = this.#sql(`SELECT ${side} AS body FROM exchanges WHERE seq = ?`).get(entry.seq);
    return toBuffer(row?.["body"]);
  }

  messages(id: string, afterN = 0, limit: number = INSPECTOR_LIMITS.MESSAGES_MAX): readonly RecordedMessage[] {
    this.#flush();
    const entry = this.#entries.get(id);
    if (entry === undefined) return [];
    return this.#sql("SELECT * FROM messages WHERE seq = ? AND n > ? ORDER BY n LIMIT ?")
      .all(entry.seq, afterN, limit)
      .map(readMessage);
  }

  stats(): StoreStats {
    return {
      count: this.#entries.size,
      bytes: this.#bytes,
      dropped: this.#dropped,
      isRecording: this.#problem === undefined && !this.#isClosed,
      ...(this.#problem !== undefined && { problem: this.#problem }),
    };
  }

  subscribe(listener: (change: StoreChange) => void): () => void {
    return this.#feed.subscribe(listener);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#flush();
    this.#isClosed = true;
    this.#db.close();
  }

  // ---- inside

  #put(entry: Entry, record: ExchangeRecord, bodies: DraftBodies, isNew: boolean): void {
    const pending = this.#rows.get(entry.seq);
    if (pending !== undefined) this.#pendingBytes -= inlineBytes(pending.bodies);
    entry.requestFile = fileName(bodies.request);
    entry.responseFile = fileName(bodies.response);
    this.#rows.set(entry.seq, { entry, record, bodies, isNew });
    this.#pendingBytes += inlineBytes(bodies);
    const bytes = headBytes(record) + sizeOf(bodies.request) + sizeOf(bodies.response) + entry.messageBytes;
    this.#bytes += bytes - entry.bytes;
    entry.bytes = bytes;
  }

  #gather(entry: Entry, messages: readonly RecordedMessage[]): void {
    const gathered = this.#newMessages.get(entry) ?? [];
    if (gathered.length === 0) this.#newMessages.set(entry, gathered);
    for (const message of messages) {
      gathered.push(message);
      entry.messages += 1;
      entry.messageBytes += message.data.length;
      entry.bytes += message.data.length;
      this.#bytes += message.data.length;
      this.#pendingBytes += message.data.length;
    }
  }

  #schedule(): void {
    if (this.#pendingBytes >= INSPECTOR_LIMITS.FLUSH_BYTES && !this.#isSoon) {
      this.#isSoon = true;
      // Not within the stream's own turn.
      setImmediate(() => this.#flush());
    }
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.#flush(), INSPECTOR_LIMITS.FLUSH_INTERVAL_MS);
    this.#timer.unref();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isSoon = false;
    if (this.#isClosed || (this.#rows.size === 0 && this.#newMessages.size === 0)) return;
    const isWritten = this.#transact(() => {
      for (const pending of this.#rows.values()) this.#writeRow(pending);
      for (const [entry, messages] of this.#newMessages) this.#writeMessages(entry, messages);
      this.#evict();
    });
    if (!isWritten) this.#dropPending();
    this.#rows.clear();
    this.#newMessages.clear();
    this.#pendingBytes = 0;
  }

  #dropPending(): void {
    for (const { entry, record, isNew } of this.#rows.values()) {
      if (!isNew) continue;
      this.#dropped += 1;
      if (this.#entries.has(record.id)) this.#forget(record.id, entry);
    }
  }

  #writeRow({ entry, record, bodies, isNew }: PendingRow): void {
    const values: SQLInputValue[] = [
      record.id,
      entry.bytes,
      record.outcome === Outcome.Open ? 1 : 0,
      entry.requestFile ?? null,
      entry.responseFile ?? null,
      JSON.stringify(record),
      Buffer.isBuffer(bodies.request) ? bodies.request : null,
      Buffer.isBuffer(bodies.response) ? bodies.response : null,
      entry.seq,
    ];
    if (isNew) {
      this.#sql(
        "INSERT INTO exchanges (id, bytes, is_open, request_file, response_file, record, request, response, seq) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
      ).run(...values);
    } else {
      this.#sql(
        "UPDATE exchanges SET id = ?, bytes = ?, is_open = ?, request_file = ?, response_file = ?, record = ?, request = ?, response = ? WHERE seq = ?",
      ).run(...values);
    }
  }

  #writeMessages(entry: Entry, messages: readonly RecordedMessage[]): void {
    const insert = this.#sql("INSERT OR REPLACE INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
    for (const m of messages)
      insert.run(entry.seq, m.n, m.direction, m.opcode, m.size, m.at, m.isWhole ? 1 : 0, m.data);
    const isOver =
      entry.messages > INSPECTOR_LIMITS.MESSAGES_MAX || entry.messageBytes > INSPECTOR_LIMITS.MESSAGES_BYTES_MAX;
    if (!isOver) return;
    const all = this.#sql("SELECT n, length(data) AS length FROM messages WHERE seq = ? ORDER BY n")
      .all(entry.seq)
      .map((row) => ({ n: Number(row["n"]), data: { length: Number(row["length"]) } }));
    const gone = keepNewest(all);
    let bytes = 0;
    for (const { data } of all.slice(0, gone)) bytes += data.length;
    this.#sql("DELETE FROM messages WHERE seq = ? AND n <= ?").run(entry.seq, all[gone - 1]?.n ?? 0);
    entry.messages -= gone;
    entry.messagesDropped += gone;
    entry.messageBytes -= bytes;
    entry.bytes -= bytes;
    this.#bytes -= bytes;
  }

  /** The oldest go until the quota is kept. */
  #evict(): void {
    const { exchangesMax, bytesMax } = this.#quota;
    if (this.#entries.size <= exchangesMax && this.#bytes <= bytesMax) return;
    let last = 0;
    for (const [id, entry] of this.#entries) {
      if (this.#entries.size <= exchangesMax && this.#bytes <= bytesMax) break;
      this.#forget(id, entry);
      last = entry.seq;
    }
    this.#deleteRows(0, last);
  }

  #deleteRows(from: number, to: number): void {
    this.#sql("DELETE FROM exchanges WHERE seq BETWEEN ? AND ?").run(from, to);
    this.#sql("DELETE FROM messages WHERE seq BETWEEN ? AND ?").run(from, to);
  }

  #forget(id: string, entry: Entry): void {
    this.#entries.delete(id);
    this.#bytes -= entry.bytes;
    for (const file of [entry.requestFile, entry.responseFile])
      if (file !== undefined) unlink(join(this.bodyFolder, file), ignore);
  }

  #forgetFiles(bodies: DraftBodies): void {
    for (const body of [bodies.request, bodies.response])
      if (body !== undefined && !Buffer.isBuffer(body)) unlink(body.file, ignore);
  }

  /** Runs one transaction; when it fails recording is over, and the tunnel hears nothing of it. @returns whether it was done */
  #transact(work: () => void): boolean {
    try {
      this.#db.exec("BEGIN");
      work();
      this.#db.exec("COMMIT");
      return true;
    } catch (error) {
      const isNews = this.#problem === undefined;
      this.#problem = error instanceof Error ? error.message : String(error);
      try {
        // SQLite has rolled back already where the disk is full.
        this.#db.exec("ROLLBACK");
      } catch {
        // Nothing was open.
      }
      if (isNews) this.#onProblem?.(this.#problem);
      this.#feed.emit({ kind: "stats" });
      return false;
    }
  }

  /** Reads what is needed of each exchange, ends those a killed process left open, removes bodies that belong to none. */
  #load(): void {
    const rows = this.#sql("SELECT seq, id, bytes, is_open, request_file, response_file FROM exchanges ORDER BY seq");
    const files = new Set<string>();
    const open: Entry[] = [];
    for (const row of rows.iterate()) {
      const entry: Entry = {
        seq: Number(row["seq"]),
        bytes: Number(row["bytes"]),
        messages: 0,
        messagesDropped: 0,
        messageBytes: 0,
        requestFile: toText(row["request_file"]),
        responseFile: toText(row["response_file"]),
      };
      this.#entries.set(String(row["id"]), entry);
      this.#bytes += entry.bytes;
      this.#seq = entry.seq;
      for (const file of [entry.requestFile, entry.responseFile]) if (file !== undefined) files.add(file);
      if (row["is_open"] === 1) open.push(entry);
    }
    this.#loadMessageCounts();
    for (const entry of open) this.#endLeftOpen(entry);
    for (const file of readdirSync(this.bodyFolder))
      if (!files.has(file)) rmSync(join(this.bodyFolder, file), { force: true });
  }

  #loadMessageCounts(): void {
    const bySeq = new Map([...this.#entries.values()].map((entry) => [entry.seq, entry]));
    const counts = this.#sql(
      "SELECT seq, count(*) AS count, max(n) AS last, sum(length(data)) AS bytes FROM messages GROUP BY seq",
    );
    for (const row of counts.iterate()) {
      const entry = bySeq.get(Number(row["seq"]));
      if (entry === undefined) continue;
      entry.messages = Number(row["count"]);
      entry.messagesDropped = Number(row["last"]) - entry.messages;
      entry.messageBytes = Number(row["bytes"]);
    }
  }

  #endLeftOpen(entry: Entry): void {
    const row = this.#sql("SELECT record FROM exchanges WHERE seq = ?").get(entry.seq);
    if (row === undefined) return;
    const record: ExchangeRecord = { ...this.#read(row), outcome: Outcome.Failed, error: "ERR_GGROK_SESSION_LOST" };
    this.#sql("UPDATE exchanges SET is_open = 0, record = ? WHERE seq = ?").run(JSON.stringify(record), entry.seq);
  }

  #read(row: Record<string, SQLOutputValue>): ExchangeRecord {
    const record = JSON.parse(String(row["record"])) as ExchangeRecord;
    const entry = this.#entries.get(record.id);
    return entry === undefined || entry.messages === 0 ? record : withCounts(record, entry);
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

/** Someone may have removed the file by hand. */
function readBody(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

function withCounts(record: ExchangeRecord, entry: Entry): ExchangeRecord {
  const { messages, messagesDropped } = entry;
  return { ...record, messages, ...(messagesDropped > 0 && { messagesDropped }) };
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

function toText(value: SQLOutputValue | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function fileName(body: Buffer | BodyFile | undefined): string | undefined {
  return body === undefined || Buffer.isBuffer(body) ? undefined : basename(body.file);
}

function sizeOf(body: Buffer | BodyFile | undefined): number {
  if (body === undefined) return 0;
  return Buffer.isBuffer(body) ? body.length : body.size;
}

function inlineBytes(bodies: DraftBodies): number {
  const { request, response } = bodies;
  return (Buffer.isBuffer(request) ? request.length : 0) + (Buffer.isBuffer(response) ? response.length : 0);
}

function ignore(): void {}
