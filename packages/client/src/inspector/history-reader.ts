import type { BodyFiles } from "./body-files.ts";
import { type EntryTable, withCounts } from "./entry-table.ts";
import type { BodySide, ExchangeRecord, RecordedMessage } from "./exchange-record.ts";
import type { ListQuery } from "./exchange-store.ts";
import { createMatcher } from "./filter.ts";
import { type HistoryFile, parseRecord } from "./history-file.ts";
import type { PendingWrites } from "./pending-writes.ts";
import { TimeSlice } from "./time-slice.ts";

/** How many rows a list reads at a time. */
const SCAN_ROWS = 64;

/** Where a history lies. */
export interface HistoryParts {
  readonly file: HistoryFile;
  readonly entries: EntryTable;
  readonly bodies: BodyFiles;
  readonly pending: PendingWrites;
  /** Hears of each record that cannot be read and is left out. */
  readonly onDamaged: () => void;
}

/** Reads a history as if all that waits to be written were in the file already. */
export class HistoryReader {
  readonly #o: HistoryParts;
  #isClosed = false;

  constructor(parts: HistoryParts) {
    this.#o = parts;
  }

  get(id: string): ExchangeRecord | undefined {
    const { entries, pending, file } = this.#o;
    const entry = entries.get(id);
    if (entry === undefined) return undefined;
    const json = pending.json(entry.seq) ?? file.record(entry.seq);
    return json === undefined ? undefined : this.#read(json);
  }

  async list(query: ListQuery): Promise<readonly ExchangeRecord[]> {
    const matches = query.filter === undefined ? undefined : createMatcher(query.filter);
    const found: ExchangeRecord[] = [];
    const slice = new TimeSlice();
    const seqs = this.#seqs(query);
    for (let at = 0; at < seqs.length; at += SCAN_ROWS) {
      for (const json of this.#texts(seqs.slice(at, at + SCAN_ROWS))) {
        if (found.length >= query.limit) return found;
        const record = this.#readOrLeave(json);
        // It may have been deleted meanwhile.
        if (record === undefined || this.#o.entries.get(record.id)?.seq !== record.seq) continue;
        if (matches === undefined || matches(record)) found.push(record);
        if (slice.isOver) await slice.next();
      }
      if (this.#isClosed) return found;
    }
    return found;
  }

  async body(id: string, side: BodySide): Promise<Buffer | undefined> {
    const { entries, bodies, pending, file } = this.#o;
    const record = this.get(id);
    const body = side === "request" ? record?.request.body : record?.response?.body;
    const entry = entries.get(id);
    if (body === undefined || !body.isStored || entry === undefined) return undefined;
    const name = side === "request" ? entry.requestFile : entry.responseFile;
    if (name !== undefined) return await bodies.read(name);
    return pending.body(entry.seq, side) ?? file.body(entry.seq, side);
  }

  messages(id: string, afterN: number, limit: number): readonly RecordedMessage[] {
    const { entries, pending, file } = this.#o;
    const entry = entries.get(id);
    if (entry === undefined) return [];
    // What was let go may still be in the file, and what waits may be there already.
    const after = Math.max(afterN, entry.recent?.[0] === undefined ? 0 : entry.recent[0].n - 1);
    const waiting = pending.messages(entry.seq).filter(({ n }) => n > after);
    const beforeN = waiting[0]?.n ?? Number.MAX_SAFE_INTEGER;
    const written = file.messages(entry.seq, { afterN: after, beforeN, limit });
    return [...written, ...waiting].slice(0, limit);
  }

  /** A list that is being read ends with what it has. */
  close(): void {
    this.#isClosed = true;
  }

  /** What a query may show, in its order. */
  #seqs({ afterSeq, beforeSeq = Number.MAX_SAFE_INTEGER }: ListQuery): number[] {
    const seqs: number[] = [];
    for (const { seq } of this.#o.entries.values()) if (seq > (afterSeq ?? 0) && seq < beforeSeq) seqs.push(seq);
    return afterSeq === undefined ? seqs.reverse() : seqs;
  }

  /** Records that follow each other, as JSON. */
  #texts(seqs: readonly number[]): string[] {
    const written = this.#o.file.records(Math.min(...seqs), Math.max(...seqs));
    return seqs.map((seq) => this.#o.pending.json(seq) ?? written.get(seq) ?? "");
  }

  /** One that cannot be read hides no other. */
  #readOrLeave(json: string): ExchangeRecord | undefined {
    try {
      return this.#read(json);
    } catch {
      this.#o.onDamaged();
      return undefined;
    }
  }

  /** @throws GgrokError when the record is damaged */
  #read(json: string): ExchangeRecord {
    const record = parseRecord(json);
    const entry = this.#o.entries.get(record.id);
    return entry === undefined || entry.messages === 0 ? record : withCounts(record, entry);
  }
}
