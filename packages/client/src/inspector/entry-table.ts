import type { ExchangeRecord, RecordedMessage } from "./exchange-record.ts";
import type { StoreQuota } from "./exchange-store.ts";
import { INSPECTOR_LIMITS } from "./limits.ts";
import { keepNewest } from "./store-rules.ts";

/** What is kept in memory of each exchange of a file. */
export interface Entry {
  readonly seq: number;
  /** All it counts for. */
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

/** The exchanges of a file by id, what they count for in the quota, and which of them is the oldest. */
export class EntryTable {
  readonly #entries = new Map<string, Entry>();
  /** Stands at the oldest entry: a new one would walk over the places of all that have gone since the map was last tidied. */
  readonly #oldest = this.#entries.entries();
  #bytes = 0;

  get size(): number {
    return this.#entries.size;
  }

  /** Bytes all of them count for. */
  get bytes(): number {
    return this.#bytes;
  }

  has(id: string): boolean {
    return this.#entries.has(id);
  }

  get(id: string): Entry | undefined {
    return this.#entries.get(id);
  }

  /** Oldest first. */
  values(): MapIterator<Entry> {
    return this.#entries.values();
  }

  /** Ids with their entries, oldest first. */
  [Symbol.iterator](): MapIterator<[string, Entry]> {
    return this.#entries.entries();
  }

  /** Adds the newest. */
  add(id: string, seq: number): Entry {
    const entry: Entry = {
      seq,
      bytes: 0,
      messages: 0,
      messagesDropped: 0,
      messageBytes: 0,
      recent: undefined,
      requestFile: undefined,
      responseFile: undefined,
    };
    this.#entries.set(id, entry);
    return entry;
  }

  /** Says what an exchange counts for, its messages apart. */
  weigh(entry: Entry, ownBytes: number): void {
    const bytes = ownBytes + entry.messageBytes;
    this.#bytes += bytes - entry.bytes;
    entry.bytes = bytes;
  }

  /** Takes messages that are in the file already. */
  loadMessages(entry: Entry, o: { count: number; lastN: number; bytes: number }): void {
    entry.messages = o.count;
    entry.messagesDropped = o.lastN - o.count;
    this.#weighMessage(entry, o.bytes);
  }

  /** Counts messages. @returns up to which number they are too many, and go; 0: none */
  gather(entry: Entry, messages: readonly RecordedMessage[]): number {
    entry.recent ??= [];
    for (const { n, data } of messages) {
      entry.recent.push({ n, data: { length: data.length } });
      entry.messages += 1;
      this.#weighMessage(entry, data.length);
    }
    const isOver =
      entry.messages > INSPECTOR_LIMITS.MESSAGES_MAX || entry.messageBytes > INSPECTOR_LIMITS.MESSAGES_BYTES_MAX;
    if (!isOver) return 0;
    const gone = entry.recent.splice(0, keepNewest(entry.recent));
    for (const { data } of gone) this.#weighMessage(entry, -data.length);
    entry.messages -= gone.length;
    entry.messagesDropped += gone.length;
    return gone.at(-1)?.n ?? 0;
  }

  /** Whether some have to go. */
  isOver({ exchangesMax, bytesMax }: StoreQuota): boolean {
    return this.#entries.size > 0 && (this.#entries.size > exchangesMax || this.#bytes > bytesMax);
  }

  /** The oldest, once: whoever asks takes it out. */
  oldest(): [string, Entry] | undefined {
    return this.#oldest.next().value;
  }

  delete(id: string, entry: Entry): void {
    this.#entries.delete(id);
    this.#bytes -= entry.bytes;
  }

  #weighMessage(entry: Entry, bytes: number): void {
    entry.messageBytes += bytes;
    entry.bytes += bytes;
    this.#bytes += bytes;
  }
}

/** The record with the number of its messages, which have rows of their own. */
export function withCounts(record: ExchangeRecord, entry: Entry): ExchangeRecord {
  const { messages, messagesDropped } = entry;
  return { ...record, messages, ...(messagesDropped > 0 && { messagesDropped }) };
}
