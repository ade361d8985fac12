import { createHash, type Hash } from "node:crypto";
import { unlink } from "node:fs";
import { join } from "node:path";
import { BodySpool } from "./body-spool.ts";
import type { BodyFile } from "./exchange-record.ts";
import { INSPECTOR_LIMITS } from "./limits.ts";
import type { MemoryLedger } from "./memory-ledger.ts";

const EMPTY = Buffer.alloc(0);
/** Up to here a digest is made in one go when it is asked for, which costs a third of making it bit by bit. */
const HASH_AT_ONCE_BYTES = 65_536;

/** How the bodies of a tunnel are kept. */
export interface BodyRules {
  readonly ledger: MemoryLedger;
  /** Folder for large bodies; undefined: all stay in memory. */
  readonly folder: string | undefined;
  /** Larger ones are known by size and digest only. */
  readonly bytesMax: number;
  /** A name no other file of the folder has. */
  newName(): string;
}

/** What has been collected. `content` is undefined when only size and digest are known. */
export interface CollectedBody {
  readonly size: number;
  /** Undefined: not made yet, the content is there. */
  readonly sha256: string | undefined;
  readonly content: Buffer | BodyFile | undefined;
}

/** Hears what has been collected; undefined: the body was lost. */
export type OnCollected = (body: CollectedBody | undefined) => void;

/** Gathers one body as it passes. */
export class BodyCollector {
  size = 0;
  readonly #rules: BodyRules;
  /** The one chunk that most bodies consist of, or several. */
  #first: Buffer | undefined;
  #more: Buffer[] | undefined;
  #hash: Hash | undefined;
  #spool: BodySpool | undefined;
  /** Who waits for the end of the file. */
  #waiting: OnCollected[] | undefined;
  #inFile: CollectedBody | undefined;
  #heldBytes = 0;
  #isKept = true;
  #mustStayInMemory = false;

  constructor(rules: BodyRules) {
    this.#rules = rules;
  }

  /** The first bytes, while they are in memory. */
  get head(): Buffer {
    return this.#first ?? EMPTY;
  }

  /** @returns false when there is no room for it: the exchange cannot be recorded */
  push(chunk: Buffer): boolean {
    this.size += chunk.length;
    if (this.#hash !== undefined) this.#hash.update(chunk);
    else if (this.size > HASH_AT_ONCE_BYTES) this.#hash = this.#startHash().update(chunk);
    if (!this.#isKept) return true;
    if (this.size > this.#rules.bytesMax) {
      const isHashed = this.#hash !== undefined;
      this.keepNothing();
      if (!isHashed) this.#hash?.update(chunk);
      return true;
    }
    const kept = unpinned(chunk);
    if (this.#spool?.hasFailed === true || !this.#rules.ledger.take(kept.length)) return false;
    if (this.#spool !== undefined) {
      this.#spool.write(kept);
      return true;
    }
    this.#heldBytes += kept.length;
    if (this.#first === undefined) this.#first = kept;
    else if (this.#more === undefined) this.#more = [kept];
    else this.#more.push(kept);
    if (this.size > INSPECTOR_LIMITS.SPOOL_ABOVE_BYTES && !this.#mustStayInMemory) this.#startSpool();
    return true;
  }

  /** The body must be looked at whole before it is written: it never goes to a file of its own. */
  stayInMemory(): void {
    this.#mustStayInMemory = true;
  }

  /** Whether what comes next goes to a file. */
  get isSpooled(): boolean {
    return this.#spool !== undefined;
  }

  /** From now on only size and digest are of interest. */
  keepNothing(): void {
    if (!this.#isKept) return;
    this.#hash ??= this.#startHash();
    this.#isKept = false;
    this.#release();
    this.#spool?.giveUp();
    this.#spool = undefined;
  }

  /** The exchange is not recorded: lets go of everything. */
  discard(): void {
    this.#isKept = false;
    this.#release();
    this.#spool?.giveUp();
    this.#spool = undefined;
    if (this.#inFile?.content !== undefined && "file" in this.#inFile.content)
      unlink(this.#inFile.content.file, ignore);
  }

  /** What there is before the end; what lies in a file is to be had when that is whole. */
  get soFar(): CollectedBody {
    const { size } = this;
    if (this.#inFile !== undefined) return this.#inFile;
    if (!this.#isKept || this.#spool !== undefined) return { size, sha256: "", content: undefined };
    return { size, sha256: undefined, content: this.#join() };
  }

  /** Nothing follows. `onDone` may be called at once. A body that goes to a file may be finished more than once. */
  finish(onDone: OnCollected): void {
    const { size } = this;
    if (this.#waiting !== undefined) {
      this.#waiting.push(onDone);
      return;
    }
    if (this.#inFile !== undefined) {
      onDone(this.#inFile);
      return;
    }
    if (this.#spool !== undefined) {
      this.#waiting = [onDone];
      this.#endSpool(this.#spool);
      return;
    }
    const content = this.#isKept ? this.#join() : undefined;
    this.#release();
    onDone({ size, sha256: this.#hash?.digest("hex"), content });
  }

  #startHash(): Hash {
    const started = createHash("sha256");
    if (this.#first !== undefined) started.update(this.#first);
    for (const chunk of this.#more ?? []) started.update(chunk);
    return started;
  }

  #startSpool(): void {
    const { folder, ledger } = this.#rules;
    if (folder === undefined) return;
    const spool = new BodySpool(join(folder, this.#rules.newName()), ledger);
    this.#spool = spool;
    if (this.#first !== undefined) spool.write(this.#first);
    for (const chunk of this.#more ?? []) spool.write(chunk);
    // What the spool has counts as the spool's.
    this.#heldBytes = 0;
    this.#first = undefined;
    this.#more = undefined;
  }

  #endSpool(spool: BodySpool): void {
    const { size } = this;
    const sha256 = this.#hash?.digest("hex");
    spool.end((isWhole) => {
      const waiting = this.#waiting ?? [];
      this.#waiting = undefined;
      this.#spool = undefined;
      if (isWhole) this.#inFile = { size, sha256, content: { file: spool.path, size } };
      for (const onDone of waiting) onDone(this.#inFile);
    });
  }

  #join(): Buffer {
    const first = this.#first ?? EMPTY;
    if (this.#more === undefined) return first;
    this.#first = Buffer.concat([first, ...this.#more], this.size);
    this.#more = undefined;
    return this.#first;
  }

  #release(): void {
    this.#rules.ledger.give(this.#heldBytes);
    this.#heldBytes = 0;
    this.#first = undefined;
    this.#more = undefined;
  }
}

/** A small view would keep the whole read buffer it was cut from. */
function unpinned(chunk: Buffer): Buffer {
  return chunk.buffer.byteLength > chunk.length * 4 ? Buffer.from(chunk) : chunk;
}

function ignore(): void {}
