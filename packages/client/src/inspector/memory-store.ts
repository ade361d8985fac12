import { readFileSync } from "node:fs";
import { ChangeFeed } from "./change-feed.ts";
import type {
  BodyFile,
  BodySide,
  DraftBodies,
  DraftRecord,
  ExchangeRecord,
  RecordedMessage,
} from "./exchange-record.ts";
import type { EndedExchange, ExchangeStore, ListQuery, StoreChange, StoreQuota, StoreStats } from "./exchange-store.ts";
import { createMatcher } from "./filter.ts";
import { INSPECTOR_LIMITS } from "./limits.ts";
import { headBytes, isOther, keepNewest, uniqueId } from "./store-rules.ts";

interface Kept {
  record: ExchangeRecord;
  request: Buffer | undefined;
  response: Buffer | undefined;
  messages: RecordedMessage[];
  bytes: number;
}

/** The history in memory: gone with the process. */
export class MemoryStore implements ExchangeStore {
  readonly kind = "memory";
  readonly bodyFolder = undefined;
  readonly #quota: StoreQuota;
  readonly #feed = new ChangeFeed();
  /** By id, oldest first. */
  readonly #kept = new Map<string, Kept>();
  #seq = 0;
  #bytes = 0;
  #dropped = 0;

  constructor(quota: Partial<StoreQuota> = {}) {
    const { MEMORY_STORE_BYTES_MAX: bytesMax, STORE_EXCHANGES_MAX: exchangesMax } = INSPECTOR_LIMITS;
    // What the disk may hold the memory may not.
    this.#quota = {
      bytesMax: Math.min(bytesMax, quota.bytesMax ?? bytesMax),
      exchangesMax: Math.min(exchangesMax, quota.exchangesMax ?? exchangesMax),
    };
  }

  append(draft: DraftRecord, bodies: DraftBodies, messages: readonly RecordedMessage[]): ExchangeRecord | undefined {
    const record: ExchangeRecord = { ...draft, id: uniqueId(draft.id, this.#kept), seq: ++this.#seq };
    const kept: Kept = {
      record,
      request: bytesOf(bodies.request),
      response: bytesOf(bodies.response),
      messages: [],
      bytes: 0,
    };
    this.#kept.set(record.id, kept);
    this.#weigh(kept);
    if (messages.length > 0) this.addMessages(record.id, messages);
    this.#evict();
    this.#feed.emit({ kind: "exchange", record: kept.record });
    return kept.record;
  }

  take(ended: EndedExchange): void {
    const { draft, bodies } = ended.describe();
    this.append(draft, bodies, []);
  }

  amend(record: ExchangeRecord, bodies: DraftBodies): ExchangeRecord | undefined {
    const kept = this.#kept.get(record.id);
    if (kept === undefined || kept.record.seq !== record.seq) return undefined;
    kept.record = { ...record, ...countsOf(kept.record) };
    kept.request = bytesOf(bodies.request);
    kept.response = bytesOf(bodies.response);
    this.#weigh(kept);
    this.#evict();
    this.#feed.emit({ kind: "exchange", record: kept.record });
    return kept.record;
  }

  addMessages(id: string, messages: readonly RecordedMessage[], seq?: number): void {
    const kept = this.#kept.get(id);
    const last = messages.at(-1);
    if (kept === undefined || last === undefined || isOther(kept.record, seq)) return;
    kept.messages.push(...messages);
    const gone = keepNewest(kept.messages);
    kept.messages.splice(0, gone);
    const dropped = (kept.record.messagesDropped ?? 0) + gone;
    kept.record = {
      ...kept.record,
      messages: kept.messages.length,
      ...(dropped > 0 && { messagesDropped: dropped }),
    };
    this.#weigh(kept);
    this.#evict();
    this.#feed.emit({ kind: "messages", id, lastN: last.n });
  }

  get(id: string): ExchangeRecord | undefined {
    return this.#kept.get(id)?.record;
  }

  async list(query: ListQuery): Promise<readonly ExchangeRecord[]> {
    const matches = query.filter === undefined ? undefined : createMatcher(query.filter);
    const all = [...this.#kept.values()];
    if (query.afterSeq === undefined) all.reverse();
    const found: ExchangeRecord[] = [];
    for (const { record } of all) {
      if (found.length >= query.limit) break;
      if (query.beforeSeq !== undefined && record.seq >= query.beforeSeq) continue;
      if (query.afterSeq !== undefined && record.seq <= query.afterSeq) continue;
      if (matches === undefined || matches(record)) found.push(record);
    }
    return found;
  }

  async body(id: string, side: BodySide): Promise<Buffer | undefined> {
    const kept = this.#kept.get(id);
    if (kept === undefined) return undefined;
    const body = side === "request" ? kept.record.request.body : kept.record.response?.body;
    return kept[side] ?? (body?.isStored === true && body.size === 0 ? Buffer.alloc(0) : undefined);
  }

  messages(id: string, afterN = 0, limit: number = INSPECTOR_LIMITS.MESSAGES_MAX): readonly RecordedMessage[] {
    return (this.#kept.get(id)?.messages ?? []).filter((message) => message.n > afterN).slice(0, limit);
  }

  delete(id: string, seq?: number): boolean {
    const kept = this.#kept.get(id);
    if (kept === undefined || isOther(kept.record, seq)) return false;
    this.#remove(id);
    this.#feed.emit({ kind: "removed", id });
    return true;
  }

  clear(): void {
    this.#kept.clear();
    this.#bytes = 0;
    this.#feed.emit({ kind: "cleared" });
  }

  countDropped(): void {
    this.#dropped += 1;
    this.#feed.emit({ kind: "stats" });
  }

  stats(): StoreStats {
    return { count: this.#kept.size, bytes: this.#bytes, dropped: this.#dropped, isRecording: true };
  }

  subscribe(listener: (change: StoreChange) => void): () => void {
    return this.#feed.subscribe(listener);
  }

  close(): void {}

  #weigh(kept: Kept): void {
    this.#bytes -= kept.bytes;
    kept.bytes = headBytes(kept.record) + (kept.request?.length ?? 0) + (kept.response?.length ?? 0);
    for (const message of kept.messages) kept.bytes += message.data.length;
    this.#bytes += kept.bytes;
  }

  #evict(): void {
    if (this.#kept.size <= this.#quota.exchangesMax && this.#bytes <= this.#quota.bytesMax) return;
    for (const id of this.#kept.keys()) {
      if (this.#kept.size <= this.#quota.exchangesMax && this.#bytes <= this.#quota.bytesMax) break;
      this.#remove(id);
      this.#feed.emit({ kind: "removed", id });
    }
  }

  #remove(id: string): boolean {
    const kept = this.#kept.get(id);
    if (kept === undefined) return false;
    this.#bytes -= kept.bytes;
    return this.#kept.delete(id);
  }
}

function countsOf(record: ExchangeRecord): Pick<ExchangeRecord, "messages" | "messagesDropped"> {
  const { messages, messagesDropped } = record;
  return { messages, ...(messagesDropped !== undefined && { messagesDropped }) };
}

function bytesOf(body: Buffer | BodyFile | undefined): Buffer | undefined {
  return body === undefined || Buffer.isBuffer(body) ? body : readFileSync(body.file);
}
