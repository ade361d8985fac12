import type { BodySide, DraftBodies, RecordedMessage } from "./exchange-record.ts";
import { hasRoom, type Slab, SlabPool } from "./slab.ts";
import type { BatchSlab, WriteBatch } from "./sqlite-writer.ts";

/** Longest UTF-8 form of one UTF-16 unit. */
const UTF8_BYTES = 3;

/** An exchange as it is to be written. */
export interface WriteRow {
  readonly seq: number;
  readonly id: string;
  /** Bytes it counts for in the quota, without its messages. */
  readonly bytes: number;
  readonly isOpen: boolean;
  readonly requestFile: string | undefined;
  readonly responseFile: string | undefined;
  /** The record as JSON. */
  readonly json: string;
  readonly bodies: DraftBodies;
  /** The file has no earlier form of it. */
  readonly isNew: boolean;
}

/** An exchange that is not in the file in this form. */
interface PendingRow {
  readonly seq: number;
  readonly isNew: boolean;
  readonly slab: Slab;
  readonly jsonAt: number;
  readonly jsonLength: number;
  /** -1: none. */
  readonly requestLength: number;
  readonly responseLength: number;
}

/** What has been gathered for one batch. */
interface Gathered {
  number: number;
  readonly slabs: Slab[];
  readonly pending: PendingRow[];
  readonly messages: Map<number, RecordedMessage[]>;
  readonly trims: number[];
  readonly deletes: number[];
  isClear: boolean;
  weight: number;
}

/** What waits to be written and what is being written. Readers find both here, as if they were in the file already. */
export class PendingWrites {
  /** The latest form of each exchange, by seq. */
  readonly #rows = new Map<number, PendingRow>();
  readonly #pool = new SlabPool();
  readonly #flights: Gathered[] = [];
  #waiting = gather();
  #number = 0;
  #flightWeight = 0;

  /** Bytes of everything that is not in the file. */
  get weight(): number {
    return this.#flightWeight + this.#waiting.weight;
  }

  /** Bytes that no batch has yet. */
  get waitingWeight(): number {
    return this.#waiting.weight;
  }

  get isEmpty(): boolean {
    const { pending, messages, trims, deletes, isClear } = this.#waiting;
    return pending.length === 0 && messages.size === 0 && trims.length === 0 && deletes.length === 0 && !isClear;
  }

  put({ seq, id, bytes, isOpen, requestFile, responseFile, json, bodies, isNew }: WriteRow): void {
    const waiting = this.#waiting;
    const request = Buffer.isBuffer(bodies.request) ? bodies.request : undefined;
    const response = Buffer.isBuffer(bodies.response) ? bodies.response : undefined;
    const texts = id.length + json.length + (requestFile?.length ?? 0) + (responseFile?.length ?? 0);
    const slab = this.#room(texts * UTF8_BYTES + (request?.length ?? 0) + (response?.length ?? 0));
    const begin = slab.used;
    const idLength = addText(slab, id);
    const requestFileLength = addText(slab, requestFile);
    const responseFileLength = addText(slab, responseFile);
    const jsonAt = slab.used;
    const jsonLength = addText(slab, json);
    const requestLength = addBytes(slab, request);
    const responseLength = addBytes(slab, response);
    waiting.weight += slab.used - begin;
    const { rows } = slab;
    let at = slab.rowsUsed;
    rows[at++] = begin;
    rows[at++] = seq;
    rows[at++] = bytes;
    rows[at++] = isOpen ? 1 : 0;
    rows[at++] = isNew ? 1 : 0;
    rows[at++] = idLength;
    rows[at++] = requestFileLength;
    rows[at++] = responseFileLength;
    rows[at++] = jsonLength;
    rows[at++] = requestLength;
    rows[at++] = responseLength;
    slab.rowsUsed = at;
    const isFirst = isNew || this.#rows.get(seq)?.isNew === true;
    const pending: PendingRow = { seq, isNew: isFirst, slab, jsonAt, jsonLength, requestLength, responseLength };
    this.#rows.set(seq, pending);
    waiting.pending.push(pending);
  }

  addMessages(seq: number, messages: readonly RecordedMessage[]): void {
    const waiting = this.#waiting;
    const gathered = waiting.messages.get(seq);
    if (gathered === undefined) waiting.messages.set(seq, [...messages]);
    else for (const message of messages) gathered.push(message);
    for (const { data } of messages) waiting.weight += data.length;
  }

  /** Messages up to number `n` go. */
  trim(seq: number, n: number): void {
    this.#waiting.trims.push(seq, n);
  }

  /** An exchange goes. */
  delete(seq: number): void {
    const { deletes } = this.#waiting;
    const last = deletes.length - 1;
    // The oldest go one after the other.
    if (deletes[last] === seq - 1) deletes[last] = seq;
    else deletes.push(seq, seq);
    this.#rows.delete(seq);
  }

  clear(): void {
    for (const slab of this.#waiting.slabs) this.#pool.give(slab);
    this.#waiting = gather();
    this.#rows.clear();
    this.#waiting.isClear = true;
  }

  /** The record of an exchange as JSON; undefined: ask the file. */
  json(seq: number): string | undefined {
    const row = this.#rows.get(seq);
    return row === undefined ? undefined : jsonOf(row);
  }

  /** A body; undefined: ask the file. */
  body(seq: number, side: BodySide): Buffer | undefined {
    const row = this.#rows.get(seq);
    if (row === undefined) return undefined;
    const { slab, jsonAt, jsonLength, requestLength, responseLength } = row;
    const requestAt = jsonAt + jsonLength;
    const at = side === "request" ? requestAt : requestAt + Math.max(0, requestLength);
    const length = side === "request" ? requestLength : responseLength;
    return length < 0 ? undefined : Buffer.from(slab.bytes.subarray(at, at + length));
  }

  messages(seq: number): RecordedMessage[] {
    return [...this.#flights, this.#waiting].flatMap(({ messages }) => messages.get(seq) ?? []);
  }

  /** Everything that waits as one batch. */
  take(): WriteBatch {
    const taken = this.#waiting;
    this.#waiting = gather();
    taken.number = ++this.#number;
    this.#flights.push(taken);
    this.#flightWeight += taken.weight;
    const { number, isClear, trims, deletes, slabs } = taken;
    return {
      number,
      isClear,
      trims,
      deletes,
      slabs: slabs.map(handOver),
      messages: [...taken.messages].map(([seq, list]) => ({ seq, list })),
    };
  }

  /** A batch has come to its end, and with 0 all that are under way. @returns the seqs that were new in it */
  settle(number: number): number[] {
    const seqs: number[] = [];
    while (this.#flights[0] !== undefined && (number === 0 || this.#flights[0].number <= number)) {
      const flight = this.#flights.shift();
      for (const row of flight?.pending ?? []) {
        if (row.isNew) seqs.push(row.seq);
        if (this.#rows.get(row.seq) === row) this.#rows.delete(row.seq);
      }
      // A form that is older than what waits has left its place there.
      for (const slab of flight?.slabs ?? []) this.#pool.give(slab);
      this.#flightWeight -= flight?.weight ?? 0;
    }
    return seqs;
  }

  #room(bytes: number): Slab {
    const { slabs } = this.#waiting;
    const last = slabs.at(-1);
    if (last !== undefined && hasRoom(last, bytes)) return last;
    const slab = this.#pool.take(bytes);
    slabs.push(slab);
    return slab;
  }
}

function gather(): Gathered {
  return {
    number: 0,
    slabs: [],
    pending: [],
    messages: new Map(),
    trims: [],
    deletes: [],
    isClear: false,
    weight: 0,
  };
}

/** The memory itself goes with it only the first time. */
function handOver(slab: Slab): BatchSlab {
  const { id, used, rowsUsed } = slab;
  if (slab.isKnown) return { id, used, rowsUsed };
  slab.isKnown = true;
  return { id, used, rowsUsed, shared: { bytes: slab.bytes.buffer, rows: slab.rows } };
}

function jsonOf({ slab, jsonAt, jsonLength }: PendingRow): string {
  return slab.bytes.toString("utf8", jsonAt, jsonAt + jsonLength);
}

/** @returns its length, -1 where there is none */
function addText(slab: Slab, text: string | undefined): number {
  if (text === undefined) return -1;
  const length = slab.bytes.write(text, slab.used, "utf8");
  slab.used += length;
  return length;
}

function addBytes(slab: Slab, bytes: Buffer | undefined): number {
  if (bytes === undefined) return -1;
  slab.used += bytes.copy(slab.bytes, slab.used);
  return bytes.length;
}
