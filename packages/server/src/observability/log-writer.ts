import { write, writeSync } from "node:fs";
import { Writable } from "node:stream";

/** Lines kept for a reader that stands still, in bytes; what comes on top is dropped. */
const MAX_UNWRITTEN_BYTES = 8_388_608;
/** How long the end of the process waits for a reader that is full, in milliseconds. */
const LAST_WRITE_MS = 1_000;
/** Time between two tries of that, in milliseconds. */
const RETRY_MS = 10;

const open = new Set<LogWriter>();
let isWatchingExit = false;

/**
 * Log lines on their way to a file descriptor. It is never in the way of the event loop, and a reader that stands still or
 * is gone costs lines, not the relay: pino's own destination tries for ever, at the end of the process, to write to a pipe
 * that nobody reads.
 */
export class LogWriter extends Writable {
  readonly #fd: number;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #isWriting = false;
  #isBroken = false;
  #onIdle: (() => void)[] = [];

  constructor(fd: number) {
    super();
    this.#fd = fd;
    open.add(this);
    if (isWatchingExit) return;
    isWatchingExit = true;
    process.once("exit", () => {
      for (const writer of open) writer.flushSync();
    });
  }

  override _write(line: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (!this.#isBroken && this.#waitingBytes + line.length <= MAX_UNWRITTEN_BYTES) {
      this.#waiting.push(line);
      this.#waitingBytes += line.length;
      this.#next();
    }
    done();
  }

  override _final(done: () => void): void {
    this.flushSync();
    open.delete(this);
    done();
  }

  /** Calls back when nothing waits any more, or after a second; pino's `flush` comes here. */
  flush(done: () => void): void {
    const timer = setTimeout(done, LAST_WRITE_MS);
    this.#onIdle.push(() => {
      clearTimeout(timer);
      done();
    });
    this.#next();
  }

  /** Writes what waits, as far as the reader takes it within a second. */
  flushSync(): void {
    const deadline = performance.now() + LAST_WRITE_MS;
    let rest = this.#take();
    while (rest.length > 0 && !this.#isBroken) {
      try {
        rest = rest.subarray(writeSync(this.#fd, rest));
      } catch (error) {
        if (!isFull(error) || performance.now() > deadline) return;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
      }
    }
  }

  #next(): void {
    if (this.#isWriting) return;
    if (this.#waiting.length === 0 || this.#isBroken) {
      for (const tell of this.#onIdle.splice(0)) tell();
      return;
    }
    this.#isWriting = true;
    this.#writeAll(this.#take());
  }

  #take(): Buffer {
    const bytes = Buffer.concat(this.#waiting);
    this.#waiting = [];
    this.#waitingBytes = 0;
    return bytes;
  }

  #writeAll(bytes: Buffer): void {
    write(this.#fd, bytes, (error, written) => {
      if (error !== null && !isFull(error)) {
        this.#isBroken = true;
        this.#isWriting = false;
        this.#next();
        return;
      }
      const rest = error === null ? bytes.subarray(written) : bytes;
      if (rest.length > 0) {
        // A pipe that does not block and is full.
        setTimeout(() => this.#writeAll(rest), error === null ? 0 : RETRY_MS).unref();
        return;
      }
      this.#isWriting = false;
      this.#next();
    });
  }
}

function isFull(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "EAGAIN" || error.code === "EBUSY");
}
