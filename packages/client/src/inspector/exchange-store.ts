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
  /** Bytes of bodies, messages and heads. */
  readonly bytes: number;
  /** Exchanges that were not recorded because there was no room or no time for them. */
  readonly dropped: number;
  readonly isRecording: boolean;
  /** Why nothing is recorded any more. */
  readonly problem?: string;
}

/** Keeps exchanges. One contract for the file and for the memory. */
export interface ExchangeStore {
  readonly kind: "sqlite" | "memory";
  /** Takes an exchange; on disk at most 100 ms later. @returns undefined when it was not taken */
  append(record: DraftRecord, bodies: DraftBodies, messages: readonly RecordedMessage[]): ExchangeRecord | undefined;
  get(id: string): ExchangeRecord | undefined;
  list(query: ListQuery): readonly ExchangeRecord[];
  /** The stored bytes; undefined: there are none, or the id is unknown. */
  body(id: string, side: BodySide): Buffer | undefined;
  /** Messages after number `afterN`, in order. */
  messages(id: string, afterN?: number, limit?: number): readonly RecordedMessage[];
  /** @returns whether there was one */
  delete(id: string): boolean;
  clear(): void;
  stats(): StoreStats;
  close(): void;
}
