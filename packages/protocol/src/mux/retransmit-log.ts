import { Fifo } from "./fifo.ts";

/** One WebSocket message as it was handed to the transport: its head, and the body slice sent behind it without a copy. */
export interface SentMessage {
  readonly head: Buffer;
  readonly body: Buffer | undefined;
}

/**
 * Messages sent and not yet acknowledged, by reference (capability `resume`). Both ends count messages from 1, after the
 * handshake; the count is not on the wire.
 */
export class RetransmitLog {
  readonly #maxBytes: number;
  readonly #messages = new Fifo<SentMessage>();
  #acknowledged = 0;
  #bytes = 0;
  #isComplete: boolean;

  /** @param maxBytes above this the log gives up and the session cannot be resumed any more */
  constructor(maxBytes: number, isEnabled: boolean) {
    this.#maxBytes = maxBytes;
    this.#isComplete = isEnabled;
  }

  /** Whether everything unacknowledged is still here. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Unacknowledged bytes held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Messages sent since the start. */
  get sent(): number {
    return this.#acknowledged + this.#messages.length;
  }

  /** Keeps a message that is handed to the transport now. */
  push(message: SentMessage): void {
    if (!this.#isComplete) return;
    this.#messages.push(message);
    this.#bytes += message.head.length + (message.body?.length ?? 0);
    if (this.#bytes > this.#maxBytes) {
      this.#isComplete = false;
      this.#messages.clear();
      this.#bytes = 0;
    }
  }

  /** The peer has received `count` messages. False when that cannot be: more than were sent. */
  acknowledge(count: number): boolean {
    if (!this.#isComplete) return true;
    if (count > this.sent) return false;
    while (this.#acknowledged < count) {
      const message = this.#messages.shift();
      if (message === undefined) return false;
      this.#bytes -= message.head.length + (message.body?.length ?? 0);
      this.#acknowledged += 1;
    }
    return true;
  }

  /** What the peer has not acknowledged, oldest first. */
  unacknowledged(): readonly SentMessage[] {
    return this.#messages.all();
  }
}
