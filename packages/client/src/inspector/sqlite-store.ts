import type { DatabaseSync } from "node:sqlite";
import { BodyFiles, fileName } from "./body-files.ts";
import { ChangeFeed } from "./change-feed.ts";
import { type Entry, EntryTable, withCounts } from "./entry-table.ts";
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
import { HistoryFile } from "./history-file.ts";
import { type HistoryParts, HistoryReader } from "./history-reader.ts";
import { INSPECTOR_LIMITS } from "./limits.ts";
import { loadHistory } from "./load-history.ts";
import { PendingWrites } from "./pending-writes.ts";
import { PAGE_BYTES } from "./sqlite-schema.ts";
import { type BatchDone, SqliteWriter } from "./sqlite-writer.ts";
import { headBytes, isOther, uniqueId } from "./store-rules.ts";

/** Exchanges that are taken down in one go at most: half a millisecond of the main thread. */
const LOT_EXCHANGES = 64;
/** Bytes of their bodies at most: they are copied and digested. */
const LOT_BYTES = 131_072;

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
  readonly #file: HistoryFile;
  readonly #bodies: BodyFiles;
  readonly #quota: StoreQuota;
  readonly #pagesMax: number;
  readonly #onProblem: ((problem: string) => void) | undefined;
  #onDamagedRecord: (() => void) | undefined;
  readonly #feed = new ChangeFeed();
  readonly #entries = new EntryTable();
  readonly #pending = new PendingWrites();
  readonly #reader: HistoryReader;
  #writer: SqliteWriter | undefined;
  /** The present lot. One exchange a millisecond finds the processor's caches cold; one after the other costs half of that. */
  #ended: EndedExchange[] = [];
  #endedBytes = 0;
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
    this.#file = new HistoryFile(o.database, path);
    try {
      this.#bodies = new BodyFiles(path.replace(/\.db$/, ".bodies"));
      this.bodyFolder = this.#bodies.folder;
      const [file, entries, bodies, pending] = [this.#file, this.#entries, this.#bodies, this.#pending];
      const parts: HistoryParts = { file, entries, bodies, pending, onDamaged: () => this.#tellOfDamage() };
      this.#seq = loadHistory(parts);
      this.#reader = new HistoryReader(parts);
    } catch (error) {
      this.#file.close();
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
      this.#bodies.removeOf(bodies);
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
    return this.#reader.get(id);
  }

  async list(query: ListQuery): Promise<readonly ExchangeRecord[]> {
    this.#settle();
    return await this.#reader.list(query);
  }

  async body(id: string, side: BodySide): Promise<Buffer | undefined> {
    this.#settle();
    return await this.#reader.body(id, side);
  }

  messages(id: string, afterN = 0, limit: number = INSPECTOR_LIMITS.MESSAGES_MAX): readonly RecordedMessage[] {
    this.#settle();
    return this.#reader.messages(id, afterN, limit);
  }

  stats(): StoreStats {
    this.#settle();
    return {
      count: this.#entries.size,
      bytes: this.#entries.bytes,
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
    this.#reader.close();
    this.#writer?.close();
    this.#file.close();
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
      this.#bodies.removeOf(bodies);
      return undefined;
    }
    const id = uniqueId(draft.id, this.#entries);
    const record: ExchangeRecord = { ...draft, id, seq: ++this.#seq };
    const entry = this.#entries.add(id, record.seq);
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
    const bytes = headBytes(record) + sizeOf(bodies.request) + sizeOf(bodies.response);
    this.#entries.weigh(entry, bytes);
    const { requestFile, responseFile, seq } = entry;
    const isOpen = record.outcome === Outcome.Open;
    const json = JSON.stringify(record);
    this.#pending.put({ seq, id: record.id, bytes, isOpen, requestFile, responseFile, json, bodies, isNew });
  }

  #gather(entry: Entry, messages: readonly RecordedMessage[]): void {
    this.#pending.addMessages(entry.seq, messages);
    const goneN = this.#entries.gather(entry, messages);
    if (goneN > 0) this.#pending.trim(entry.seq, goneN);
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
    while (this.#entries.isOver(this.#quota)) {
      const oldest = this.#entries.oldest();
      if (oldest === undefined) return;
      const [id, entry] = oldest;
      this.#forget(id, entry);
      this.#feed.emit({ kind: "removed", id });
    }
  }

  #forget(id: string, entry: Entry): void {
    this.#entries.delete(id, entry);
    this.#pending.delete(entry.seq);
    this.#bodies.remove(entry.requestFile);
    this.#bodies.remove(entry.responseFile);
  }

  #tellOfDamage(): void {
    this.#onDamagedRecord?.();
    this.#onDamagedRecord = undefined;
  }
}

function sizeOf(body: Buffer | BodyFile | undefined): number {
  if (body === undefined) return 0;
  return Buffer.isBuffer(body) ? body.length : body.size;
}
