import { LIMITS } from "../limits.ts";

/** First in, first out, without moving elements. */
class Fifo<T> {
  #items: T[] = [];
  #next = 0;

  get isEmpty(): boolean {
    return this.#next === this.#items.length;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    const item = this.#items[this.#next];
    if (item === undefined) return undefined;
    this.#next += 1;
    if (this.#next === this.#items.length) {
      this.#items.length = 0;
      this.#next = 0;
    } else if (this.#next >= 256 && this.#next * 2 > this.#items.length) {
      this.#items.splice(0, this.#next);
      this.#next = 0;
    }
    return item;
  }
}

/**
 * Who sends DATA next. Streams that were not waiting go first, one turn each, so a small answer overtakes downloads;
 * then those that wait take turns. After 64 KiB of first turns one waiting stream is served, so none starves.
 */
export class SendQueue<Stream> {
  readonly #fresh = new Fifo<Stream>();
  readonly #waiting = new Fifo<Stream>();
  #freshBytes = 0;

  /** Whether nobody waits. */
  get isEmpty(): boolean {
    return this.#fresh.isEmpty && this.#waiting.isEmpty;
  }

  /** Queues a stream. @param isFresh it has sent little lately */
  add(stream: Stream, isFresh: boolean): void {
    (isFresh ? this.#fresh : this.#waiting).push(stream);
  }

  /** The stream whose turn it is, taken out of the queue. */
  next(): Stream | undefined {
    const isTurnOfWaiting = this.#freshBytes >= LIMITS.SEND_FRESH_BYTES && !this.#waiting.isEmpty;
    if (isTurnOfWaiting || this.#fresh.isEmpty) {
      this.#freshBytes = 0;
      return this.#waiting.shift();
    }
    return this.#fresh.shift();
  }

  /** Counts what a turn has sent. */
  sent(bytes: number): void {
    this.#freshBytes += bytes;
  }
}
