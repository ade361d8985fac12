import { Worker } from "node:worker_threads";
import type { RecordedMessage } from "./exchange-record.ts";

/** What a batch has in one slab, see `slab.ts`. */
export interface BatchSlab {
  readonly id: number;
  readonly used: number;
  readonly rowsUsed: number;
  /** The first time, and always where `id` is -1. */
  readonly shared?: { readonly bytes: SharedArrayBuffer; readonly rows: Float64Array<SharedArrayBuffer> };
}

/** What one transaction does. */
export interface WriteBatch {
  readonly number: number;
  /** Everything goes first. */
  readonly isClear: boolean;
  /** Where the rows lie. They are seen by both threads and stay as they are until the batch is done. */
  readonly slabs: readonly BatchSlab[];
  readonly messages: readonly { readonly seq: number; readonly list: readonly RecordedMessage[] }[];
  /** Seq, then the last message of it that goes. */
  readonly trims: readonly number[];
  /** First and last seq that go. */
  readonly deletes: readonly number[];
}

/** How a transaction went. */
export interface BatchDone {
  readonly number: number;
  /** Why it was not done. */
  readonly problem?: string;
}

/** What the thread is told at its start. */
interface WriterData {
  readonly path: string;
  readonly pagesMax: number;
  /** Set to 1 when the file is closed. */
  readonly closed: Int32Array;
}

/** How long the end of an agent waits for its last records: a disk that does not answer must not keep the terminal. */
const CLOSE_WAIT_MS = 3_000;

/**
 * Writes batches from a thread of its own: however long the disk takes, no byte of a visitor waits for it.
 */
export class SqliteWriter {
  readonly #worker: Worker;
  readonly #closed = new Int32Array(new SharedArrayBuffer(4));

  /** @param onDone hears of each batch in order, and of number 0 when the thread itself fails */
  constructor(o: { path: string; pagesMax: number; onDone: (done: BatchDone) => void }) {
    const workerData: WriterData = { path: o.path, pagesMax: o.pagesMax, closed: this.#closed };
    this.#worker = new Worker(`(${runWriter.toString()})()`, {
      eval: true,
      workerData,
      // Two megabytes of young generation are plenty for one batch.
      resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 64 },
    });
    this.#worker.unref();
    this.#worker.on("message", o.onDone);
    this.#worker.on("error", (error) => {
      o.onDone({ number: 0, problem: error instanceof Error ? error.message : String(error) });
    });
  }

  write(batch: WriteBatch): void {
    this.#worker.postMessage(batch);
  }

  /** Returns when everything is in the file and the file is closed. */
  close(): void {
    this.#worker.removeAllListeners("message");
    this.#worker.postMessage(undefined);
    Atomics.wait(this.#closed, 0, 0, CLOSE_WAIT_MS);
    void this.#worker.terminate();
  }
}

/**
 * The thread. It is started from its own text, since the agent is one file (ADR 3) that would otherwise be loaded whole a second
 * time: so it may use nothing from outside of itself.
 */
function runWriter(): void {
  // Node 22 says that its SQLite is experimental; the main thread knows.
  process.emitWarning = (() => {}) as typeof process.emitWarning;
  // CommonJS, as all text that is evaluated; the bundle has a `require` of the same name.
  const load = process.getBuiltinModule;
  const { DatabaseSync } = load("node:sqlite");
  const { parentPort, workerData } = load("node:worker_threads");
  const { path, pagesMax, closed } = workerData as WriterData;
  if (parentPort === null) return;
  // Nobody else writes; should somebody hold the file all the same, it is waited for.
  const db = new DatabaseSync(path, { timeout: 60_000 });
  // A journal that is begun again early stays in the processor's cache, and is never so long that it is cut.
  db.exec("PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 250; PRAGMA journal_size_limit = 8388608");
  db.exec(`PRAGMA max_page_count = ${pagesMax}`);
  const insert = db.prepare(
    "INSERT INTO exchanges (seq, id, bytes, is_open, request_file, response_file, record, request, response) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
  );
  const update = db.prepare(
    "UPDATE exchanges SET id = ?2, bytes = ?3, is_open = ?4, request_file = ?5, response_file = ?6, record = ?7, request = ?8, response = ?9 WHERE seq = ?1",
  );
  const addMessage = db.prepare("INSERT OR REPLACE INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
  const trim = db.prepare("DELETE FROM messages WHERE seq = ? AND n <= ?");
  const removeExchanges = db.prepare("DELETE FROM exchanges WHERE seq BETWEEN ? AND ?");
  const removeMessages = db.prepare("DELETE FROM messages WHERE seq BETWEEN ? AND ?");

  const known: BatchSlab["shared"][] = [];
  /** Before anything can fail: the memory of a slab is passed on only once. */
  const learn = ({ id, shared }: BatchSlab): void => {
    if (id >= 0 && shared !== undefined) known[id] = shared;
  };

  const writeRows = ({ id, used, rowsUsed, shared }: BatchSlab): void => {
    const slab = id < 0 ? shared : known[id];
    if (slab === undefined) throw new Error(`unknown slab ${id}`);
    // SQLite is given memory of this thread alone.
    const copy = Buffer.from(new Uint8Array(slab.bytes, 0, used));
    const { rows } = slab;
    // Read one by one: this runs for every exchange, and a list of what a row has would cost more than writing it.
    let [at, i] = [0, 0];
    const next = (): number => rows[i++] ?? 0;
    const text = (length: number): string | null => {
      if (length < 0) return null;
      at += length;
      return copy.toString("utf8", at - length, at);
    };
    const blob = (length: number): Uint8Array | null => {
      if (length < 0) return null;
      at += length;
      return copy.subarray(at - length, at);
    };
    while (i < rowsUsed) {
      at = next();
      const [seq, bytes, isOpen] = [next(), next(), next()];
      const statement = next() === 1 ? insert : update;
      // In the order in which they lie there.
      statement.run(
        seq,
        text(next()),
        bytes,
        isOpen,
        text(next()),
        text(next()),
        blob(next()),
        blob(next()),
        blob(next()),
      );
    }
  };
  const apply = (batch: WriteBatch): void => {
    if (batch.isClear) db.exec("DELETE FROM exchanges; DELETE FROM messages");
    for (const slab of batch.slabs) writeRows(slab);
    for (const { seq, list } of batch.messages) {
      for (const m of list) addMessage.run(seq, m.n, m.direction, m.opcode, m.size, m.at, m.isWhole ? 1 : 0, m.data);
    }
    const { trims, deletes } = batch;
    for (let i = 0; i < trims.length; i += 2) trim.run(trims[i] ?? 0, trims[i + 1] ?? 0);
    for (let i = 0; i < deletes.length; i += 2) {
      removeExchanges.run(deletes[i] ?? 0, deletes[i + 1] ?? 0);
      removeMessages.run(deletes[i] ?? 0, deletes[i + 1] ?? 0);
    }
  };

  parentPort.on("message", (batch: WriteBatch | undefined) => {
    if (batch === undefined) {
      db.close();
      Atomics.store(closed, 0, 1);
      Atomics.notify(closed, 0);
      parentPort.close();
      return;
    }
    const done: { number: number; problem?: string } = { number: batch.number };
    for (const slab of batch.slabs) learn(slab);
    try {
      db.exec("BEGIN IMMEDIATE");
      apply(batch);
      db.exec("COMMIT");
    } catch (error) {
      done.problem = error instanceof Error ? error.message : String(error);
      try {
        // SQLite has rolled back already where the disk is full.
        db.exec("ROLLBACK");
      } catch {
        // Nothing was open.
      }
    }
    if (batch.isClear && done.problem === undefined) {
      try {
        // An empty database gives its space back in no time.
        db.exec("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)");
      } catch {
        // The space is used again by what comes.
      }
    }
    parentPort.postMessage(done);
  });
}
