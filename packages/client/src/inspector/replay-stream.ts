import {
  type ErrorCode,
  errorCodeOfReset,
  getField,
  type HeaderList,
  type MuxStream,
  ResetCode,
  type ResponseHead,
  type StreamHandler,
} from "@ggrok/protocol";

/** Bytes of a body that are handed over at a time. */
const CHUNK_BYTES = 65_536;

const DEAF: StreamHandler = { onData: () => true, onTrailers() {}, onReset() {}, onDrain() {} };

/** How a replay went, as far as it is known. */
export interface ReplayEnd {
  readonly status?: number;
  readonly error?: ErrorCode;
  /** The reason in words, where the forwarder gave one. */
  readonly message?: string;
  /** The app has not ended its answer within the time that was waited for it. */
  readonly isOpen?: boolean;
}

/**
 * Stands where the relay's stream would: the forwarder reads the request from it and answers into it. The answer's bytes go
 * nowhere; what is recorded of them the capture has taken on the way.
 */
export class ReplayStream implements MuxStream {
  readonly id = 0;
  readonly openWritten = true;
  handler: StreamHandler = DEAF;
  dispatched = false;
  bytesIn = 0;
  bytesOut = 0;
  /** Settles when the exchange has ended. */
  readonly ended: Promise<ReplayEnd>;
  readonly #body: Buffer;
  readonly #trailers: HeaderList;
  #offset = 0;
  #hasSentAll: boolean;
  #hasRoom = true;
  #isFeeding = false;
  #isAnswered = false;
  #isWanted = true;
  #head: ResponseHead | undefined;
  #error: { code: ErrorCode; message: string } | undefined;
  #settle: (end: ReplayEnd) => void = () => {};

  constructor(body: Buffer, trailers: HeaderList) {
    this.#body = body;
    this.#trailers = trailers;
    this.#hasSentAll = this.isBodyless;
    this.ended = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  /** Nothing follows the head. */
  get isBodyless(): boolean {
    return this.#body.length === 0 && this.#trailers.length === 0;
  }
  get localEnded(): boolean {
    return this.#isAnswered;
  }
  get remoteEnded(): boolean {
    return this.#hasSentAll;
  }
  get isClosed(): boolean {
    return this.#error !== undefined || (this.#isAnswered && this.#hasSentAll);
  }
  /** What is known now. */
  get state(): ReplayEnd {
    return {
      ...(this.#head !== undefined && { status: this.#head.status }),
      ...(this.#error !== undefined && { error: this.#error.code, message: this.#error.message }),
    };
  }
  /** An answer that may last for ever. */
  get isEventStream(): boolean {
    return /^\s*text\/event-stream\b/i.test(getField(this.#head?.fields ?? [], "content-type") ?? "");
  }

  /** Hands the body over, as fast as it is taken. */
  feed(): void {
    if (this.#isFeeding) return;
    this.#isFeeding = true;
    while (this.#hasRoom && this.#isWanted && !this.#hasSentAll && this.#error === undefined) this.#feedNext();
    this.#isFeeding = false;
  }

  /** Nobody waits for the answer any more. */
  abandon(): void {
    if (this.isClosed) return;
    const reset = { code: ResetCode.VisitorLeft, notProcessed: false, message: "", local: true };
    this.#error = { code: errorCodeOfReset(reset.code), message: "" };
    this.handler.onReset(reset);
    this.#settle(this.state);
  }

  // ---- what the forwarder does

  sendHead(head: ResponseHead, fin?: boolean): void {
    if (head.status >= 200) this.#head = head;
    if (fin === true) this.end();
  }

  write(chunk: Buffer): boolean {
    this.bytesOut += chunk.length;
    return true;
  }

  end(chunk?: Buffer): void {
    if (chunk !== undefined) this.bytesOut += chunk.length;
    this.#isAnswered = true;
    this.#settle(this.state);
  }

  sendTrailers(): void {
    this.end();
  }

  reset(code: ResetCode, options: { message?: string } = {}): void {
    this.#isWanted = false;
    if (code === ResetCode.StopSending || this.#error !== undefined) return;
    this.#error = { code: errorCodeOfReset(code), message: options.message ?? "" };
    this.#settle(this.state);
  }

  resume(): void {
    this.#hasRoom = true;
    // Not from inside of the app's connection: a large body would go down one call stack.
    setImmediate(() => this.feed());
  }

  #feedNext(): void {
    if (this.#offset === this.#body.length) {
      this.#hasSentAll = true;
      this.handler.onTrailers(this.#trailers);
      return;
    }
    const chunk = this.#body.subarray(this.#offset, this.#offset + CHUNK_BYTES);
    this.#offset += chunk.length;
    this.bytesIn += chunk.length;
    const fin = this.#offset === this.#body.length && this.#trailers.length === 0;
    this.#hasSentAll = fin;
    this.#hasRoom = this.handler.onData(chunk, fin);
  }
}
