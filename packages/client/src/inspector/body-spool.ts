import { close, open, unlink, writev } from "node:fs";
import type { MemoryLedger } from "./memory-ledger.ts";

/** Writes one large body into a file as it comes, off the main thread; what is written leaves the memory. */
export class BodySpool {
  readonly path: string;
  readonly #ledger: MemoryLedger;
  #fd: number | undefined;
  #queue: Buffer[] = [];
  #isBusy = false;
  #hasFailed = false;
  #isGivenUp = false;
  #onDone: ((isWhole: boolean) => void) | undefined;

  constructor(path: string, ledger: MemoryLedger) {
    this.path = path;
    this.#ledger = ledger;
    this.#isBusy = true;
    open(path, "wx", 0o600, (error, fd) => {
      this.#fd = fd;
      this.#next(error);
    });
  }

  /** Whether the file cannot be written: the body is lost. */
  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  /** Takes bytes that are counted in the ledger already. */
  write(chunk: Buffer): void {
    if (this.#hasFailed || this.#isGivenUp) {
      this.#ledger.give(chunk.length);
      return;
    }
    this.#queue.push(chunk);
    this.#pump();
  }

  /** No more comes. `onDone` hears whether the file has all of it. */
  end(onDone: (isWhole: boolean) => void): void {
    this.#onDone = onDone;
    this.#pump();
  }

  /** The body is not wanted any more. */
  giveUp(): void {
    this.#isGivenUp = true;
    this.#drop(this.#queue.splice(0));
    this.#pump();
  }

  #pump(): void {
    if (this.#isBusy) return;
    const fd = this.#fd;
    if (fd === undefined || this.#hasFailed || this.#isGivenUp) {
      this.#finish(false);
      return;
    }
    const batch = this.#queue;
    if (batch.length === 0) {
      if (this.#onDone !== undefined) this.#finish(true);
      return;
    }
    this.#queue = [];
    this.#isBusy = true;
    this.#writeAll(fd, batch);
  }

  #writeAll(fd: number, batch: Buffer[]): void {
    writev(fd, batch, null, (error, written) => {
      const left = error === null ? rest(batch, written) : [];
      // A file system that is nearly full takes a part.
      if (left.length > 0 && written > 0) {
        this.#drop(batch);
        for (const chunk of left) this.#ledger.take(chunk.length);
        this.#writeAll(fd, left);
        return;
      }
      this.#drop(batch);
      this.#next(error ?? (left.length > 0 ? new Error("nothing could be written") : null));
    });
  }

  #next(error: Error | null): void {
    this.#isBusy = false;
    if (error !== null) {
      this.#hasFailed = true;
      this.#drop(this.#queue.splice(0));
    }
    this.#pump();
  }

  #finish(isWhole: boolean): void {
    if (this.#fd !== undefined) {
      const fd = this.#fd;
      this.#fd = undefined;
      close(fd, ignore);
      if (!isWhole) unlink(this.path, ignore);
    }
    const done = this.#onDone;
    this.#onDone = undefined;
    done?.(isWhole);
  }

  #drop(chunks: readonly Buffer[]): void {
    for (const chunk of chunks) this.#ledger.give(chunk.length);
  }
}

function rest(batch: readonly Buffer[], written: number): Buffer[] {
  let skip = written;
  const left: Buffer[] = [];
  for (const chunk of batch) {
    if (skip >= chunk.length) skip -= chunk.length;
    else {
      left.push(chunk.subarray(skip));
      skip = 0;
    }
  }
  return left;
}

function ignore(): void {}
