import type { BodySide, DraftBodies, RecordedMessage } from "./exchange-record.ts";
import type { WriteBatch } from "./sqlite-writer.ts";

const NO_BYTES = Buffer.alloc(0);

/** An exchange that the file does not have yet in this form. */
export interface PendingRow {
  readonly seq: number;
  readonly id: string;
  /** Bytes it counts for in the quota, without its messages. */
  readonly bytes: number;
  readonly isOpen: boolean;
  readonly requestFile: string | undefined;
  readonly responseFile: string | undefined;
  /** The record as JSON: one text lives through the garbage collections until it is written, not a tree of objects. */
  readonly json: string;
  readonly bodies: DraftBodies;
  /** The file has no earlier form of it. */
  readonly isNew: boolean;
}

/** A batch that was handed on and not acknowledged. */
interface Flight {
  readonly number: number;
  readonly rows: readonly PendingRow[];
  readonly messages: ReadonlyMap<number, readonly RecordedMessage[]>;
  readonly weight: number;
}

/** What waits to be written and what is being written. Readers find both here, as if they were in the file already. */
export class PendingWrites {
  /** The latest form of each exchange, by seq. Ascending as far as it is new. */
  readonly #rows = new Map<number, PendingRow>();
  /** Those of them that no batch has. */
  readonly #waiting = new Map<number, PendingRow>();
  #messages = new Map<number, RecordedMessage[]>();
  #trims: number[] = [];
  #deletes: number[] = [];
  #isClear = false;
  #weight = 0;
  readonly #flights: Flight[] = [];
  #number = 0;

  /** Bytes of everything that is not in the file. */
  get weight(): number {
    let sum = this.#weight;
    for (const flight of this.#flights) sum += flight.weight;
    return sum;
  }

  /** Bytes that no batch has yet. */
  get waitingWeight(): number {
    return this.#weight;
  }

  get isEmpty(): boolean {
    return (
      this.#waiting.size === 0 &&
      this.#messages.size === 0 &&
      this.#trims.length === 0 &&
      this.#deletes.length === 0 &&
      !this.#isClear
    );
  }

  /** Whether an exchange waits to be written for the first time. */
  isUnwritten(seq: number): boolean {
    return this.#waiting.get(seq)?.isNew === true;
  }

  put(row: PendingRow): void {
    const before = this.#waiting.get(row.seq);
    if (before !== undefined) this.#weight -= weigh(before);
    this.#waiting.set(row.seq, row);
    this.#rows.set(row.seq, row);
    this.#weight += weigh(row);
  }

  addMessages(seq: number, messages: readonly RecordedMessage[]): void {
    const gathered = this.#messages.get(seq);
    if (gathered === undefined) this.#messages.set(seq, [...messages]);
    else for (const message of messages) gathered.push(message);
    for (const { data } of messages) this.#weight += data.length;
  }

  /** Messages up to number `n` go. */
  trim(seq: number, n: number): void {
    this.#trims.push(seq, n);
  }

  /** An exchange goes. */
  delete(seq: number): void {
    const last = this.#deletes.length - 1;
    // The oldest go one after the other.
    if (this.#deletes[last] === seq - 1) this.#deletes[last] = seq;
    else this.#deletes.push(seq, seq);
  }

  clear(): void {
    this.#forgetWaiting();
    this.#rows.clear();
    this.#isClear = true;
  }

  row(seq: number): PendingRow | undefined {
    return this.#rows.get(seq);
  }

  /** From here on exchanges may be missing in the file. */
  get firstNewSeq(): number {
    for (const row of this.#rows.values()) if (row.isNew) return row.seq;
    return Number.MAX_SAFE_INTEGER;
  }

  /** New exchanges between two seqs, oldest first. */
  newRows(after: number, before: number): PendingRow[] {
    return [...this.#rows.values()].filter((row) => row.isNew && row.seq > after && row.seq < before);
  }

  messages(seq: number): RecordedMessage[] {
    return [...this.#flights.map((flight) => flight.messages), this.#messages].flatMap((all) => all.get(seq) ?? []);
  }

  /** A body that is not in the file; undefined: ask the file. */
  body(seq: number, side: BodySide): Buffer | undefined {
    const body = this.#rows.get(seq)?.bodies[side];
    return Buffer.isBuffer(body) ? body : undefined;
  }

  /** Everything that waits as one batch. */
  take(): WriteBatch {
    const rows = [...this.#waiting.values()];
    const messages = this.#messages;
    const flight: Flight = { number: ++this.#number, rows, messages, weight: this.#weight };
    this.#flights.push(flight);
    const batch = pack(flight, { trims: this.#trims, deletes: this.#deletes, isClear: this.#isClear });
    this.#forgetWaiting();
    return batch;
  }

  /** A batch has come to its end, or all that are under way. @returns its rows */
  settle(number: number): PendingRow[] {
    const settled: PendingRow[] = [];
    while (this.#flights[0] !== undefined && (number === 0 || this.#flights[0].number <= number)) {
      for (const row of this.#flights.shift()?.rows ?? []) {
        settled.push(row);
        if (this.#rows.get(row.seq) === row) this.#rows.delete(row.seq);
      }
    }
    return settled;
  }

  #forgetWaiting(): void {
    this.#waiting.clear();
    this.#messages = new Map();
    this.#trims = [];
    this.#deletes = [];
    this.#isClear = false;
    this.#weight = 0;
  }
}

function weigh({ json, bodies }: PendingRow): number {
  return json.length + bytesOf(bodies.request).length + bytesOf(bodies.response).length;
}

function pack(flight: Flight, rest: Pick<WriteBatch, "trims" | "deletes" | "isClear">): WriteBatch {
  // A character of a text is three bytes at most.
  let room = flight.weight;
  for (const { json } of flight.rows) room += json.length * 2;
  const bytes = Buffer.from(new ArrayBuffer(room));
  let at = 0;
  const add = (part: Buffer): number => {
    at += part.copy(bytes, at);
    return part.length;
  };
  const rows: (string | number | null)[] = [];
  for (const { seq, id, bytes: counted, isOpen, requestFile, responseFile, json, bodies, isNew } of flight.rows) {
    const { request, response } = bodies;
    const length = bytes.write(json, at, "utf8");
    at += length;
    rows.push(seq, id, counted, isOpen ? 1 : 0, requestFile ?? null, responseFile ?? null, isNew ? 1 : 0, length);
    rows.push(Buffer.isBuffer(request) ? add(request) : -1, Buffer.isBuffer(response) ? add(response) : -1);
  }
  const messages: (string | number)[] = [];
  for (const [seq, list] of flight.messages) {
    for (const { n, direction, opcode, size, at: sentAt, isWhole, data } of list) {
      messages.push(seq, n, direction, opcode, size, sentAt, isWhole ? 1 : 0, add(data));
    }
  }
  return { ...rest, number: flight.number, rows, messages, bytes: bytes as Uint8Array<ArrayBuffer> };
}

function bytesOf(body: DraftBodies["request"]): Buffer {
  return Buffer.isBuffer(body) ? body : NO_BYTES;
}
