import type { Duplex } from "node:stream";
import { type MuxStream, ResetCode } from "@ggrok/protocol";
import { breakConnection } from "./sockets.ts";

/**
 * Joins a visitor's socket to a stream: bytes both ways, half-close, backpressure, a break on one side breaks the other.
 * No clock runs.
 */
export class Splice {
  readonly #socket: Duplex;
  readonly #stream: MuxStream;
  #bytesIn = 0;
  #bytesOut = 0;

  constructor(socket: Duplex, stream: MuxStream) {
    this.#socket = socket;
    this.#stream = stream;
  }

  /** Bytes from the visitor. */
  get bytesIn(): number {
    return this.#bytesIn;
  }
  /** Bytes to the visitor. */
  get bytesOut(): number {
    return this.#bytesOut;
  }

  /** @param early what the visitor sent before the app agreed */
  start(early: readonly Buffer[]): void {
    this.#socket.on("data", (chunk: Buffer) => this.#onVisitorData(chunk));
    this.#socket.on("end", () => this.#stream.end());
    this.#socket.on("drain", () => this.#stream.resume());
    for (const chunk of early) this.#onVisitorData(chunk);
    if (!this.#socket.isPaused()) this.#socket.resume();
  }

  #onVisitorData(chunk: Buffer): void {
    this.#bytesIn += chunk.length;
    if (!this.#stream.write(chunk)) this.#socket.pause();
  }

  /** The stream's data for the visitor. */
  write(chunk: Buffer, fin: boolean): boolean {
    this.#bytesOut += chunk.length;
    const hasRoom = chunk.length === 0 || this.#socket.write(chunk);
    if (fin) this.#socket.end();
    return hasRoom;
  }

  /** The stream has room again. */
  drained(): void {
    this.#socket.resume();
  }

  /** The stream was reset. */
  breakOff(): void {
    breakConnection(this.#socket);
  }

  /** The socket is gone. */
  closed(): void {
    if (!this.#stream.isClosed) this.#stream.reset(ResetCode.VisitorLeft);
  }
}
