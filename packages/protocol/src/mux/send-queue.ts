import { LIMITS } from "../limits.ts";
import { Fifo } from "./fifo.ts";

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
    return this.#fresh.length === 0 && this.#waiting.length === 0;
  }

  /** Queues a stream. @param isFresh it has sent little lately */
  add(stream: Stream, isFresh: boolean): void {
    (isFresh ? this.#fresh : this.#waiting).push(stream);
  }

  /** The stream whose turn it is, taken out of the queue. */
  next(): Stream | undefined {
    const isTurnOfWaiting = this.#freshBytes >= LIMITS.SEND_FRESH_BYTES && this.#waiting.length > 0;
    if (isTurnOfWaiting || this.#fresh.length === 0) {
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
