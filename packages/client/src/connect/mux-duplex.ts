import { Duplex } from "node:stream";
import {
  errorCodeOfReset,
  GgrokError,
  type MuxStream,
  ResetCode,
  type ResponseHead,
  type StreamHandler,
  type StreamReset,
} from "@ggrok/protocol";

/**
 * A stream of a session as a Duplex, each direction with its own end. Emits `connect` when the other end has answered, and
 * `close` in any case; a reset is an error whose `code` says why.
 */
export class MuxDuplex extends Duplex implements StreamHandler {
  #stream: MuxStream | undefined;
  #isFull = false;
  #onRoom: ((error?: Error) => void) | undefined;
  #hasRemoteEnded = false;

  constructor() {
    super({ allowHalfOpen: true });
  }

  /** Gives it its stream; called once, before anything is read or written. */
  attach(stream: MuxStream): void {
    this.#stream = stream;
  }

  // ---- the stream

  onHead(head: ResponseHead, fin: boolean): void {
    if (head.status !== 200) {
      this.destroy(new GgrokError("ERR_GGROK_PROTOCOL_VIOLATION", { message: `a TCP tunnel answered ${head.status}` }));
      return;
    }
    this.emit("connect");
    if (fin) this.#endReading();
  }

  onData(chunk: Buffer, fin: boolean): boolean {
    const hasRoom = chunk.length === 0 || this.push(chunk);
    if (fin) this.#endReading();
    return hasRoom;
  }

  onTrailers(): void {
    this.#endReading();
  }

  onDrain(): void {
    this.#isFull = false;
    const done = this.#onRoom;
    this.#onRoom = undefined;
    done?.();
  }

  onReset(reset: StreamReset): void {
    this.destroy(errorOfReset(reset));
  }

  onStopSending(): void {
    // The answer is whole; what would still be written reaches nobody.
    this.onDrain();
  }

  // ---- the Duplex

  override _read(): void {
    this.#stream?.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    const stream = this.#stream;
    if (stream === undefined || stream.isClosed) {
      done(new GgrokError("ERR_GGROK_SESSION_LOST"));
      return;
    }
    this.#isFull = !stream.write(chunk);
    if (this.#isFull) this.#onRoom = done;
    else done();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#stream?.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const waiting = this.#onRoom;
    this.#onRoom = undefined;
    waiting?.(error ?? undefined);
    const stream = this.#stream;
    // What was written to its end is still delivered when the other end has ended too.
    if (stream !== undefined && !(stream.localEnded && this.#hasRemoteEnded)) stream.reset(ResetCode.VisitorLeft);
    done(error);
  }

  #endReading(): void {
    this.#hasRemoteEnded = true;
    this.push(null);
  }
}

/** The failure a RESET stands for, with the other end's words where they say more than the table. */
export function errorOfReset(reset: StreamReset): GgrokError {
  const code = errorCodeOfReset(reset.code);
  const row = new GgrokError(code);
  const isTold = reset.message !== "" && reset.message !== row.message;
  return isTold ? new GgrokError(code, { message: `${row.message} (${reset.message})` }) : row;
}
