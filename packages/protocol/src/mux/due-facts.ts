import { encodeU48 } from "../wire/encode.ts";
import { FrameType } from "../wire/frame.ts";
import type { Stream } from "./stream.ts";

/** Where facts are written, and what they are at that moment. */
export interface FactSink {
  /** Present limit of the session window this end grants. */
  sessionLimit(): number;
  /** Messages received so far, for an ACK that goes out now; undefined where nothing is acknowledged. */
  takeAck(): number | undefined;
  sendSessionFrame(type: FrameType, payload: Buffer): void;
  sendRaw(type: FrameType, id: number, payload: Buffer): void;
}

/**
 * What the peer is to be told: PONG, ACK and WINDOW. Only that it is due is kept, and what it says is asked when there is
 * room to write it, so a peer that does not read cannot make it pile up.
 */
export class DueFacts {
  #pong: Buffer | undefined;
  #isAckDue = false;
  #isSessionWindowDue = false;
  #windows: Stream[] = [];

  pong(payload: Buffer): void {
    this.#pong = payload;
  }

  ack(): void {
    this.#isAckDue = true;
  }

  sessionWindow(): void {
    this.#isSessionWindowDue = true;
  }

  /** The window of a stream. @returns false when it was due already */
  window(stream: Stream): boolean {
    if (stream.isWindowDue) return false;
    stream.isWindowDue = true;
    this.#windows.push(stream);
    return true;
  }

  write(sink: FactSink): void {
    if (this.#pong !== undefined) {
      sink.sendSessionFrame(FrameType.Pong, this.#pong);
      this.#pong = undefined;
    }
    if (this.#isSessionWindowDue) {
      this.#isSessionWindowDue = false;
      sink.sendSessionFrame(FrameType.Window, encodeU48(sink.sessionLimit()));
    }
    if (this.#windows.length > 0) this.#writeWindows(sink);
    if (!this.#isAckDue) return;
    const received = sink.takeAck();
    if (received === undefined) return;
    this.#isAckDue = false;
    sink.sendSessionFrame(FrameType.Ack, encodeU48(received));
  }

  #writeWindows(sink: FactSink): void {
    const streams = this.#windows;
    this.#windows = [];
    for (const stream of streams) {
      stream.isWindowDue = false;
      if (!stream.isClosed && !stream.remoteEnded) sink.sendRaw(FrameType.Window, stream.id, stream.windowPayload());
    }
  }
}
