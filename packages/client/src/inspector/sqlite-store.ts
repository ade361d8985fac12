import { closeSync, mkdirSync, openSync, readdirSync, rmSync, unlink } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { DatabaseSync, SQLOutputValue, StatementSync } from "node:sqlite";
import { GgrokError } from "@ggrok/protocol";
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
import type { EndedExchange, ExchangeStore, ListQuery, StoreChange, StoreQuota, StoreStats } from "./exchange-store.ts";
import { createMatcher } from "./filter.ts";
import { INSPECTOR_LIMITS } from "./limits.ts";
import { PendingWrites } from "./pending-writes.ts";
import { lockHistory, PAGE_BYTES, prepareDatabase } from "./sqlite-schema.ts";
import { type BatchDone, SqliteWriter } from "./sqlite-writer.ts";
import { headBytes, isOther, keepNewest, uniqueId } from "./store-rules.ts";
import { TimeSlice } from "./time-slice.ts";

/** Exchanges that are taken down in one go at most: half a millisecond of the main thread. */
const LOT_EXCHANGES = 64;
/** Bytes of their bodies at most: they are copied and digested. */
const LOT_BYTES = 131_072;

/** How many rows a list reads at a time. */
const SCAN_ROWS = 64;

/** What is kept in memory of each exchange. */
interface Entry {
  readonly seq: number;
  bytes: number;
  messages: number;
  messagesDropped: number;
  messageBytes: number;
  /** Number and length of each message, while more may come. */
  recent: MessageSize[] | undefined;
  requestFile: string | undefined;
  responseFile: string | undefined;
}

interface MessageSize {
  readonly n: number;
  readonly data: { readonly length: number };
}

/** What a store on disk is made of. */
export interface SqliteStoreOptions {
  readonly database: typeof DatabaseSync;
  readonly path: string;
  readonly quota?: Partial<StoreQuota>;
  /** How many pages the file may have; by default what the quota needs and half as much again. */
  readonly pagesMax?: number;
  /** Hears once that nothing is recorded any more, and why. */
  readonly onProblem?: (problem: string) => void;
  /** Hears once that a list leaves out what cannot be read. */
  readonly onDamagedRecord?: () => void;
}

/**
 * The history in a SQLite file that belongs to one process, with large bodies in files beside it. Records are gathered and
 * written in one transaction by a thread of its own; whoever reads sees what waits for it as if it were written. A state
 * machine that reads better whole.
 */
export class SqliteStore implements ExchangeStore {
  readonly kind = "sqlite";
  readonly bodyFolder: string;
  readonly #path: string;
  /** For reading; the writer has its own. */
  readonly #db: DatabaseSync;
  readonly #lock: DatabaseSync;
  readonly #quota: StoreQuota;
  readonly #pagesMax: number;
  readonly #onProblem: ((problem: string) => void) | undefined;
  #onDamagedRecord: (() => void) | undefined;
  readonly #feed = new ChangeFeed();
  readonly #statements = new Map<string, StatementSync>();
  /** By id, oldest first. */
  readonly #entries = new Map<string, Entry>();
  /** Stands at the oldest entry: a new one would walk over the places of all that have gone since the map was last tidied. */
  readonly #oldest = this.#entries.entries();
  readonly #pending = new PendingWrites();
  #writer: SqliteWriter | undefined;
  /** The present lot. One exchange a millisecond finds the processor's caches cold; one after the other costs half of that. */
  #ended: EndedExchange[] = [];
  #endedBytes = 0;
  #bytes = 0;
  #seq = 0;
  #dropped = 0;
  #timer: NodeJS.Timeout | undefined;
  #isSoon = false;
  #problem: string | undefined;
  #isClosed = false;

  /** @throws the error of SQLite when the file is held by another process (errcode 5), damaged (11, 26) or out of reach */
  constructor(o: SqliteStoreOptions) {
    const { path } = o;
    this.#quota = {
      bytesMax: INSPECTOR_LIMITS.STORE_BYTES_MAX,
      exchangesMax: INSPECTOR_LIMITS.STORE_EXCHANGES_MAX,
      ...o.quota,
    };
    this.#pagesMax = o.pagesMax ?? Math.ceil((this.#quota.bytesMax * 1.5) / PAGE_BYTES) + 1_024;
    this.#onProblem = o.onProblem;
    this.#onDamagedRecord = o.onDamagedRecord;
    this.#path = path;
    this.bodyFolder = path.replace(/\.db$/, ".bodies");
    this.#lock = lockHistory(o.database, path.replace(/\.db$/, ".lock"));
    let db: DatabaseSync | undefined;
    try {
      // SQLite gives the files beside it the same mode.
      closeSync(openSync(path, "a", 0o600));
      db = new o.database(path, { timeout: 250 });
      prepareDatabase(db);
      mkdirSync(this.bodyFolder, { recursive: true, mode: 0o700 });
      this.#db = db;
      this.#load();
    } catch (error) {
      db?.close();
      this.#lock.close();
      throw error;
    }
  }

  // ---- writing

  append(draft: DraftRecord, bodies: DraftBodies, messages: readonly RecordedMessage[]): ExchangeRecord | undefined {
    this.#settle();
    return this.#append(draft, bodies, messages);
  }

  take(ended: EndedExchange): void {
    this.#ended.push(ended);
    this.#endedBytes += ended.bytes;
    if (this.#ended.length >= LOT_EXCHANGES || this.#endedBytes >= LOT_BYTES) this.#settle();
    this.#schedule();
  }

  amend(record: ExchangeRecord, bodies: DraftBodies): ExchangeRecord | undefined {
    const entry = this.#entries.get(record.id);
    if (entry?.seq !== record.seq || this.#isClosed || this.#problem !== undefined) {
      this.#forgetFiles(bodies);
      return undefined;
    }
    this.#put(entry, record, bodies, false);
    if (record.outcome !== Outcome.Open) entry.recent = undefined;
    this.#evict();
    this.#schedule();
    const shown = withCounts(record, entry);
    this.#feed.emit({ kind: "exchange", record: shown });
    return shown;
  }

  addMessages(id: string, messages: readonly RecordedMessage[], seq?: number): void {
    const entry = this.#entries.get(id);
    const last = messages.at(-1);
    if (entry === undefined || last === undefined || this.#isClosed || this.#problem !== undefined) return;
    if (isOther(entry, seq)) return;
    this.#gather(entry, messages);
    this.#evict();
    this.#schedule();
    this.#feed.emit({ kind: "messages", id, lastN: last.n });
  }

  delete(id: string, seq?: number): boolean {
    this.#settle();
    const entry = this.#entries.get(id);
    if (entry === undefined || isOther(entry, seq) || this.#isClosed) return false;
    this.#forget(id, entry);
    this.#schedule();
    this.#feed.emit({ kind: "removed", id });
    return true;
  }

  clear(): void {
    this.#settle();
    if (this.#isClosed) return;
    for (const [id, entry] of this.#entries) this.#forget(id, entry);
    this.#pending.clear();
    // There is room again, where that was the trouble.
    this.#problem = undefined;
    this.#flush();
    this.#feed.emit({ kind: "cleared" });
  }

  countDropped(): void {
    this.#dropped += 1;
    this.#feed.emit({ kind: "stats" });
  }

  // ---- reading

  get(id: string): ExchangeRecord | undefined {
    this.#settle();
    const entry = this.#entries.get(id);
    if (entry === undefined) return undefined;
    const pending = this.#pending.json(entry.seq);
    if (pending !== undefined) return this.#read(pending);
    const row = asked(() => this.#sql("SELECT record FROM exchanges WHERE seq = ?").get(entry.seq));
    return row === undefined ? undefined : this.#read(toBuffer(row["record"]).toString("utf8"));
  }

  async list(query: ListQuery): Promise<readonly ExchangeRecord[]> {
    this.#settle();
    const matches = query.filter === undefined ? undefined : createMatcher(query.filter);
    const found: ExchangeRecord[] = [];
    const slice = new TimeSlice();
    const seqs = this.#seqs(query);
    for (let at = 0; at < seqs.length; at += SCAN_ROWS) {
      for (const json of this.#texts(seqs.slice(at, at + SCAN_ROWS))) {
        if (found.length >= query.limit) return found;
        const record = this.#readOrLeave(json);
        // It may have been deleted meanwhile.
        if (record === undefined || this.#entries.get(record.id)?.seq !== record.seq) continue;
        if (matches === undefined || matches(record)) found.push(record);
        if (slice.isOver) await slice.next();
      }
      if (this.#isClosed) return found;
    }
    return found;
  }

  async body(id: string, side: BodySide): Promise<Buffer | undefined> {
    const record = this.get(id);
    const body = side === "request" ? record?.request.body : record?.response?.body;
    const entry = this.#entries.get(id);
    if (body === undefined || !body.isStored || entry === undefined) return undefined;
    const file = side === "request" ? entry.requestFile : entry.responseFile;
    if (file !== undefined) return await readBody(join(this.bodyFolder, file));
    const pending = this.#pending.body(entry.seq, side);
    if (pending !== undefined) return pending;
    const row = asked(() => this.#sql(`SELECT ${side} AS body FROM exchanges WHERE seq = ?`).get(entry.seq));
    return toBuffer(row?.["body"]);
  }

  messages(id: string, afterN = 0, limit: number = INSPECTOR_LIMITS.MESSAGES_MAX): readonly RecordedMessage[] {
    this.#settle();
    const entry = this.#entries.get(id);
    if (entry === undefined) return [];
    // What was let go may still be in the file, and what waits may be there already.
    const after = Math.max(afterN, entry.recent?.[0] === undefined ? 0 : entry.recent[0].n - 1);
    const pending = this.#pending.messages(entry.seq).filter(({ n }) => n > after);
    const written = asked(() =>
      this.#sql("SELECT * FROM messages WHERE seq = ? AND n > ? AND n < ? ORDER BY n LIMIT ?").all(
        entry.seq,
        after,
        pending[0]?.n ?? Number.MAX_SAFE_INTEGER,
        limit,
      ),
    );
    return [...written.map(readMessage), ...pending].slice(0, limit);
  }

  stats(): StoreStats {
    this.#settle();
    return {
      count: this.#entries.size,
      bytes: this.#bytes,
      dropped: this.#dropped,
      isRecording: this.#problem === undefined && !this.#isClosed,
      ...(this.#problem !== undefined && { problem: this.#problem }),
    };
  }

  subscribe(listener: (change: StoreChange) => void): () => void {
    this.#settle();
    return this.#feed.subscribe(listener);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#flush();
    this.#isClosed = true;
    this.#writer?.close();
    this.#db.close();
    this.#lock.close();
  }

  // ---- inside

  /** Takes down what has ended, so that whoever reads finds it. */
  #settle(): void {
    const lot = this.#ended;
    if (lot.length === 0) return;
    this.#ended = [];
    this.#endedBytes = 0;
    for (const ended of lot) {
      const { draft, bodies } = ended.describe();
      this.#append(draft, bodies, []);
    }
  }

  #append(draft: DraftRecord, bodies: DraftBodies, messages: readonly RecordedMessage[]): ExchangeRecord | undefined {
    if (this.#isClosed || this.#problem !== undefined || this.#pending.weight > INSPECTOR_LIMITS.PENDING_BYTES_MAX) {
      this.countDropped();
      this.#forgetFiles(bodies);
      return undefined;
    }
    const id = uniqueId(draft.id, this.#entries);
    const record: ExchangeRecord = { ...draft, id, seq: ++this.#seq };
    const entry = newEntry(record.seq);
    this.#entries.set(id, entry);
    this.#put(entry, record, bodies, true);
    if (messages.length > 0) this.#gather(entry, messages);
    this.#evict();
    this.#schedule();
    const shown = messages.length > 0 ? withCounts(record, entry) : record;
    if (this.#feed.isHeard) this.#feed.emit({ kind: "exchange", record: shown });
    return shown;
  }

  #put(entry: Entry, record: ExchangeRecord, bodies: DraftBodies, isNew: boolean): void {
    entry.requestFile = fileName(bodies.request);
    entry.responseFile = fileName(bodies.response);
    const bytes = headBytes(record) + sizeOf(bodies.request) + sizeOf(bodies.response) + entry.messageBytes;
    this.#bytes += bytes - entry.bytes;
    entry.bytes = bytes;
    const { requestFile, responseFile, seq } = entry;
    const isOpen = record.outcome === Outcome.Open;
    const json = JSON.stringify(record);
    // Messages are counted from their own rows.
    const ownBytes = bytes - entry.messageBytes;
    this.#pending.put({ seq, id: record.id, bytes: ownBytes, isOpen, requestFile, responseFile, json, bodies, isNew });
  }

  #gather(entry: Entry, messages: readonly RecordedMessage[]): void {
    this.#pending.addMessages(entry.seq, messages);
    entry.recent ??= [];
    for (const { n, data } of messages) {
      entry.recent.push({ n, data: { length: data.length } });
      entry.messages += 1;
      this.#weighMessage(entry, data.length);
    }
    const isOver =
      entry.messages > INSPECTOR_LIMITS.MESSAGES_MAX || entry.messageBytes > INSPECTOR_LIMITS.MESSAGES_BYTES_MAX;
    if (!isOver) return;
    const gone = entry.recent.splice(0, keepNewest(entry.recent));
    for (const { data } of gone) this.#weighMessage(entry, -data.length);
    entry.messages -= gone.length;
    entry.messagesDropped += gone.length;
    this.#pending.trim(entry.seq, gone.at(-1)?.n ?? 0);
  }

  #weighMessage(entry: Entry, bytes: number): void {
    entry.messageBytes += bytes;
    entry.bytes += bytes;
    this.#bytes += bytes;
  }

  #schedule(): void {
    if (this.#pending.waitingWeight >= INSPECTOR_LIMITS.FLUSH_BYTES && !this.#isSoon) {
      this.#isSoon = true;
      // Not within the stream's own turn.
      setImmediate(() => this.#flush());
    }
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.#flush(), INSPECTOR_LIMITS.FLUSH_INTERVAL_MS);
    this.#timer.unref();
  }

  /** Hands on what waits. */
  #flush(): void {
    this.#settle();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isSoon = false;
    if (this.#isClosed || this.#pending.isEmpty) return;
    this.#writer ??= new SqliteWriter({
      path: this.#path,
      pagesMax: this.#pagesMax,
      onDone: (done) => this.#onWritten(done),
    });
    this.#writer.write(this.#pending.take());
  }

  /** When a batch fails recording is over, and the tunnel hears nothing of it. */
  #onWritten({ number, problem }: BatchDone): void {
    const lost = new Set(this.#pending.settle(number));
    if (problem === undefined) return;
    for (const [id, entry] of this.#entries) {
      if (!lost.has(entry.seq)) continue;
      this.#dropped += 1;
      this.#forget(id, entry);
    }
    const isNews = this.#problem === undefined;
    this.#problem = problem;
    if (isNews) this.#onProblem?.(problem);
    this.#feed.emit({ kind: "stats" });
  }

  /** The oldest go until the quota is kept. */
  #evict(): void {
    const { exchangesMax, bytesMax } = this.#quota;
    while (this.#entries.size > 0 && (this.#entries.size > exchangesMax || this.#bytes > bytesMax)) {
      const { value, done } = this.#oldest.next();
      if (done === true) return;
      const [id, entry] = value;
      this.#forget(id, entry);
      this.#feed.emit({ kind: "removed", id });
    }
  }

  #forget(id: string, entry: Entry): void {
    this.#entries.delete(id);
    this.#bytes -= entry.bytes;
    this.#pending.delete(entry.seq);
    for (const file of [entry.requestFile, entry.responseFile])
      if (file !== undefined) unlink(join(this.bodyFolder, file), ignore);
  }

  #forgetFiles(bodies: DraftBodies): void {
    for (const body of [bodies.request, bodies.response])
      if (body !== undefined && !Buffer.isBuffer(body)) unlink(body.file, ignore);
  }

  /** What a query may show, in its order. */
  #seqs({ afterSeq, beforeSeq = Number.MAX_SAFE_INTEGER }: ListQuery): number[] {
    const seqs: number[] = [];
    for (const { seq } of this.#entries.values()) if (seq > (afterSeq ?? 0) && seq < beforeSeq) seqs.push(seq);
    return afterSeq === undefined ? seqs.reverse() : seqs;
  }

  /** Records that follow each other, as JSON. */
  #texts(seqs: readonly number[]): string[] {
    const written = asked(() =>
      this.#sql("SELECT seq, record FROM exchanges WHERE seq BETWEEN ? AND ?").all(
        Math.min(...seqs),
        Math.max(...seqs),
      ),
    );
    const rows = new Map(written.map((row) => [Number(row["seq"]), row["record"]]));
    return seqs.map((seq) => this.#pending.json(seq) ?? toBuffer(rows.get(seq)).toString("utf8"));
  }

  /** Reads what is needed of each exchange, ends those a killed process left open, removes bodies that belong to none. */
  #load(): void {
    const rows = this.#sql("SELECT seq, id, bytes, is_open, request_file, response_file FROM exchanges ORDER BY seq");
    const files = new Set<string>();
    const open: Entry[] = [];
    for (const row of rows.iterate()) {
      const entry = newEntry(Number(row["seq"]));
      entry.bytes = Number(row["bytes"]);
      entry.requestFile = toText(row["request_file"]);
      entry.responseFile = toText(row["response_file"]);
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
      this.#weighMessage(entry, Number(row["bytes"]));
    }
  }

  #endLeftOpen(entry: Entry): void {
    const row = this.#sql("SELECT record FROM exchanges WHERE seq = ?").get(entry.seq);
    if (row === undefined) return;
    const left = this.#readOrLeave(toBuffer(row["record"]).toString("utf8"));
    if (left === undefined) return;
    const record: ExchangeRecord = { ...left, outcome: Outcome.Failed, error: "ERR_GGROK_SESSION_LOST" };
    const json = Buffer.from(JSON.stringify(record));
    this.#sql("UPDATE exchanges SET is_open = 0, record = ? WHERE seq = ?").run(json, entry.seq);
  }

  /** One that cannot be read hides no other. */
  #readOrLeave(json: string): ExchangeRecord | undefined {
    try {
      return this.#read(json);
    } catch {
      this.#onDamagedRecord?.();
      this.#onDamagedRecord = undefined;
      return undefined;
    }
  }

  /** @throws GgrokError when the record is damaged */
  #read(json: string): ExchangeRecord {
    const record = parseRecord(json);
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

function newEntry(seq: number): Entry {
  return {
    seq,
    bytes: 0,
    messages: 0,
    messagesDropped: 0,
    messageBytes: 0,
    recent: undefined,
    requestFile: undefined,
    responseFile: undefined,
  };
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

function parseRecord(json: string): ExchangeRecord {
  try {
    return JSON.parse(json) as ExchangeRecord;
  } catch (cause) {
    const message = "the record of this exchange is damaged; others are not affected";
    throw new GgrokError("ERR_GGROK_HISTORY_UNREADABLE", { message, cause });
  }
}

/** Someone may have removed the file by hand. */
async function readBody(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
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

function ignore(): void {}
