import { Duplex } from "node:stream";
import type { MuxStream, ResetCode, StreamHandler, StreamReset } from "@ggrok/protocol";

/** What ends of a {@link StreamDuplex} mean to its owner. */
export interface StreamDuplexOptions {
  /** What the other end hears when this one is destroyed. */
  readonly resetCode: ResetCode;
  /** The failure that a RESET stands for. */
  errorOfReset(reset: StreamReset): Error;
  /** The failure of writing to a stream that has ended. */
  errorOfLateWrite(): Error;
}

/** A stream of a session as a Duplex, each direction with its own end and its own back-pressure. */
export class StreamDuplex extends Duplex implements StreamHandler {
  readonly #options: StreamDuplexOptions;
  #stream: MuxStream | undefined;
  #onRoom: ((error?: Error) => void) | undefined;
  #hasRemoteEnded = false;

  constructor(options: StreamDuplexOptions) {
    super({ allowHalfOpen: true });
    this.#options = options;
  }

  /** Gives it its stream; called once, before anything is read or written. */
  attach(stream: MuxStream): void {
    this.#stream = stream;
  }

  /** The other end writes no more. */
  endReading(): void {
    this.#hasRemoteEnded = true;
    this.push(null);
  }

  // ---- the stream

  onData(chunk: Buffer, fin: boolean): boolean {
    const hasRoom = chunk.length === 0 || this.push(chunk);
    if (fin) this.endReading();
    return hasRoom || fin;
  }

  onTrailers(): void {
    this.endReading();
  }

  onDrain(): void {
    const done = this.#onRoom;
    this.#onRoom = undefined;
    done?.();
  }

  onReset(reset: StreamReset): void {
    this.destroy(this.#options.errorOfReset(reset));
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
    if (stream === undefined || stream.isClosed) done(this.#options.errorOfLateWrite());
    else if (stream.write(chunk)) done();
    else this.#onRoom = done;
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
    if (stream !== undefined && !(stream.localEnded && this.#hasRemoteEnded)) stream.reset(this.#options.resetCode);
    done(error);
  }
}
