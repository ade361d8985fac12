import type { BodySide, DraftBodies, DraftRecord, ExchangeRecord, RecordedMessage } from "./exchange-record.ts";
import type { Filter } from "./filter.ts";

/** Which exchanges of a store, newest first; with `afterSeq` the oldest of them first. */
export interface ListQuery {
  /** Older than this. */
  readonly beforeSeq?: number;
  /** Newer than this. */
  readonly afterSeq?: number;
  readonly limit: number;
  readonly filter?: Filter;
}

/** What a store says of itself. */
export interface StoreStats {
  readonly count: number;
  /** Bytes of heads, bodies and messages. */
  readonly bytes: number;
  /** Exchanges that were not recorded because there was no room or no time for them. */
  readonly dropped: number;
  readonly isRecording: boolean;
  /** Why nothing is recorded any more. */
  readonly problem?: string;
}

/** What happened to a store. */
export type StoreChange =
  | { readonly kind: "exchange"; readonly record: ExchangeRecord }
  | { readonly kind: "messages"; readonly id: string; readonly lastN: number }
  | { readonly kind: "removed"; readonly id: string }
  | { readonly kind: "cleared" }
  | { readonly kind: "stats" };

/** How much a store keeps; the oldest exchanges make room. */
export interface StoreQuota {
  readonly bytesMax: number;
  readonly exchangesMax: number;
}

/** An exchange of which everything is known. */
export interface EndedExchange {
  /** What its bodies take up in memory. */
  readonly bytes: number;
  /** Called once. */
  describe(): { readonly draft: DraftRecord; readonly bodies: DraftBodies };
}

/** Keeps exchanges. One contract for the file and for the memory. */
export interface ExchangeStore {
  readonly kind: "sqlite" | "memory";
  /** Folder for bodies that are too large to wait in memory; undefined: this store takes none. */
  readonly bodyFolder: string | undefined;
  /**
   * Takes an exchange; on disk within 100 ms. An id that is there already gets a suffix.
   *
   * @returns undefined when it was not taken
   */
  append(record: DraftRecord, bodies: DraftBodies, messages: readonly RecordedMessage[]): ExchangeRecord | undefined;
  /** Takes an exchange that has ended and will not change. It may be described later, but before anything is read. */
  take(ended: EndedExchange): void;
  /** Replaces what is known of an exchange that was open. @returns undefined when it is gone, whoever has its id now */
  amend(record: ExchangeRecord, bodies: DraftBodies): ExchangeRecord | undefined;
  /** Adds messages to an exchange; of too many the oldest go. With `seq` to no other that has its id now. */
  addMessages(id: string, messages: readonly RecordedMessage[], seq?: number): void;
  get(id: string): ExchangeRecord | undefined;
  /** What is there when it is asked; a long one gives way to the tunnels. */
  list(query: ListQuery): Promise<readonly ExchangeRecord[]>;
  /** The stored bytes; undefined: there are none, or the id is unknown. */
  body(id: string, side: BodySide): Promise<Buffer | undefined>;
  /** Messages after number `afterN`, in order. */
  messages(id: string, afterN?: number, limit?: number): readonly RecordedMessage[];
  /** With `seq` no other that has its id now. @returns whether there was one */
  delete(id: string, seq?: number): boolean;
  clear(): void;
  /** Counts an exchange that could not be recorded. */
  countDropped(): void;
  stats(): StoreStats;
  /** Hears of changes; returns a function that stops it. */
  subscribe(listener: (change: StoreChange) => void): () => void;
  close(): void;
}
