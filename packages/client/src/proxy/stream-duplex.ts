import { Duplex } from "node:stream";
import { type MuxStream, ResetCode, type StreamHandler } from "@ggrok/protocol";

/** A stream that a visitor of a TCP tunnel opened, as the connection of a client of ours: each direction with its own end. */
export class StreamDuplex extends Duplex implements StreamHandler {
  readonly #stream: MuxStream;
  #onRoom: ((error?: Error) => void) | undefined;
  #hasVisitorEnded = false;

  /** @param hasEnded the visitor ended its direction as it opened the stream */
  constructor(stream: MuxStream, hasEnded: boolean) {
    super({ allowHalfOpen: true });
    this.#stream = stream;
    stream.handler = this;
    stream.dispatched = true;
    stream.sendHead({ status: 200, reason: "", fields: [] });
    if (hasEnded) this.#endReading();
  }

  // ---- the stream

  onData(chunk: Buffer, fin: boolean): boolean {
    const hasRoom = chunk.length === 0 || this.push(chunk);
    if (fin) this.#endReading();
    return hasRoom;
  }

  onTrailers(): void {
    this.#endReading();
  }

  onDrain(): void {
    const done = this.#onRoom;
    this.#onRoom = undefined;
    done?.();
  }

  onReset(): void {
    this.destroy(Object.assign(new Error("the visitor broke off"), { code: "ECONNRESET" }));
  }

  // ---- the Duplex

  override _read(): void {
    this.#stream.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#stream.isClosed) done(Object.assign(new Error("the visitor has left"), { code: "EPIPE" }));
    else if (this.#stream.write(chunk)) done();
    else this.#onRoom = done;
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#stream.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const waiting = this.#onRoom;
    this.#onRoom = undefined;
    waiting?.(error ?? undefined);
    // What was written to its end is still delivered when the visitor has ended too.
    if (!(this.#stream.localEnded && this.#hasVisitorEnded)) this.#stream.reset(ResetCode.UpstreamReset);
    done(error);
  }

  #endReading(): void {
    this.#hasVisitorEnded = true;
    this.push(null);
  }
}
