import { DEAF_HANDLER, type Transport, type TransportHandler } from "./transport.ts";

/** One end of a link in memory, for tests of what stands above it. */
export interface MemoryTransport extends Transport {
  /** Bytes handed over since the start. */
  readonly sentBytes: number;
  /** Messages handed over since the start. */
  readonly sentMessages: number;
  /** Breaks the link once this end has sent so many bytes; the message that crosses the mark is lost, as are later ones. */
  cutAfterBytes(bytes: number): void;
  /** Breaks the link now: what is on its way is lost. */
  cut(): void;
  /** Stops taking: `send` says that it is full and nothing is delivered, until called with false. */
  block(isBlocked: boolean): void;
}

/** Two linked transports. Messages arrive in later turns of the event loop, several in one turn, in order. */
export function createMemoryLink(o: { highWaterBytes?: number } = {}): [MemoryTransport, MemoryTransport] {
  const link = { isCut: false };
  const a = new MemoryEnd(link, o.highWaterBytes ?? 65_536);
  const b = new MemoryEnd(link, o.highWaterBytes ?? 65_536);
  a.peer = b;
  b.peer = a;
  return [a, b];
}

class MemoryEnd implements MemoryTransport {
  handler: TransportHandler = DEAF_HANDLER;
  peer: MemoryEnd | undefined;
  sentBytes = 0;
  sentMessages = 0;
  readonly #link: { isCut: boolean };
  readonly #highWaterBytes: number;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #isArmed = false;
  #isBlocked = false;
  #needsDrain = false;
  #cutAt = Number.POSITIVE_INFINITY;
  #isOver = false;

  constructor(link: { isCut: boolean }, highWaterBytes: number) {
    this.#link = link;
    this.#highWaterBytes = highWaterBytes;
  }

  get bufferedBytes(): number {
    return this.#queuedBytes;
  }

  send(head: Buffer, body?: Buffer): boolean {
    if (this.#link.isCut || this.#isOver) return true;
    const message = body === undefined ? Buffer.from(head) : Buffer.concat([head, body]);
    this.sentBytes += message.length;
    this.sentMessages += 1;
    if (this.sentBytes > this.#cutAt) {
      this.cut();
      return true;
    }
    this.#queue.push(message);
    this.#queuedBytes += message.length;
    this.#arm();
    if (this.#queuedBytes < this.#highWaterBytes && !this.#isBlocked) return true;
    this.#needsDrain = true;
    return false;
  }

  flush(): void {}

  cutAfterBytes(bytes: number): void {
    this.#cutAt = bytes;
  }

  cut(): void {
    if (this.#link.isCut) return;
    this.#link.isCut = true;
    setImmediate(() => {
      this.closed(1006, "");
      this.peer?.closed(1006, "");
    });
  }

  block(isBlocked: boolean): void {
    this.#isBlocked = isBlocked;
    if (!isBlocked) this.#arm();
  }

  close(code: number, reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { peer } = this;
    setImmediate(() => {
      this.#deliver();
      peer?.closed(code, reason);
    });
  }

  destroy(): void {
    this.#isOver = true;
    this.cut();
  }

  /** The other end, or the link, is gone. */
  closed(code: number, reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.handler.onClose(code, reason);
  }

  #arm(): void {
    if (this.#isArmed) return;
    this.#isArmed = true;
    setImmediate(() => this.#deliver());
  }

  #deliver(): void {
    this.#isArmed = false;
    if (this.#isBlocked) return;
    const messages = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    for (const message of messages) {
      if (this.#link.isCut) return;
      this.peer?.handler.onMessage(message);
    }
    if (this.#needsDrain && !this.#isOver) {
      this.#needsDrain = false;
      this.handler.onDrain();
    }
  }
}
