import type { RecordedMessage } from "./exchange-record.ts";
import type { MemoryLedger } from "./memory-ledger.ts";
import type { Redactor } from "./redact.ts";
import type { FrameMessage, OnMessage } from "./websocket-reader.ts";

/** What a message's place waits for. */
interface Place {
  isSettled: boolean;
  /** Missing in a settled place: there was no room for it. */
  message?: RecordedMessage;
}

/** The messages of one exchange between their passing and the store, in order, also while some are still decompressed. */
export class MessageLog {
  readonly #ledger: MemoryLedger;
  readonly #redactor: Redactor;
  readonly #onSettled: () => void;
  #places: Place[] = [];
  #count = 0;

  /** @param onSettled hears that there may be something to take */
  constructor(o: { ledger: MemoryLedger; redactor: Redactor; onSettled: () => void }) {
    this.#ledger = o.ledger;
    this.#redactor = o.redactor;
    this.#onSettled = o.onSettled;
  }

  /** Whether all that ended has come to its content. */
  get isSettled(): boolean {
    return this.#places.every((place) => place.isSettled);
  }

  /** Gives messages of one direction their numbers when they end, and takes their content when it is known. */
  open(direction: RecordedMessage["direction"]): OnMessage {
    return () => {
      const place: Place = { isSettled: false };
      const n = ++this.#count;
      const at = Date.now();
      this.#places.push(place);
      return (message) => {
        this.#settle(place, { ...message, n, direction, at });
      };
    };
  }

  /** Takes what is complete from the front. */
  take(): RecordedMessage[] {
    const ready: RecordedMessage[] = [];
    let count = 0;
    for (const place of this.#places) {
      if (!place.isSettled) break;
      count += 1;
      if (place.message === undefined) continue;
      this.#ledger.give(place.message.data.length);
      ready.push(place.message);
    }
    this.#places.splice(0, count);
    return ready;
  }

  #settle(place: Place, message: FrameMessage & Pick<RecordedMessage, "n" | "direction" | "at">): void {
    place.isSettled = true;
    const data = this.#redactor.message(message.data, message.isWhole, message.opcode);
    if (this.#ledger.take(data.length)) place.message = { ...message, data };
    this.#onSettled();
  }
}
