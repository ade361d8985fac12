import { FLAG_FIN, FRAME_HEADER_BYTES, type FrameType, putFrameHeader } from "../wire/frame.ts";

/** First slab, in bytes: what an idle session spends on a PING and an ACK. */
const FIRST_SLAB_BYTES = 64;
/** Slabs up to this size come from Node's pool, in bytes: idle sessions share it. */
const POOLED_SLAB_BYTES = 1_024;
/**
 * Largest slab and so the largest batch, in bytes. A slab lives until its last message is acknowledged; one that survives
 * two small collections stays until a full one. At 64 KiB a third of them did.
 */
const MAX_SLAB_BYTES = 16_384;

const EMPTY = Buffer.alloc(0);

/**
 * Gathers the frames of one turn of the event loop into one WebSocket message. Messages are cut out of a slab one behind
 * the other and handed over without a copy, so a message kept for retransmission pins little more than itself.
 */
export class BatchWriter {
  #slab: Buffer = EMPTY;
  #start = 0;
  #end = 0;
  #nextSlabBytes = FIRST_SLAB_BYTES;
  #serial = 0;

  /** Number of the batch being gathered; rises with each {@link take}. */
  get serial(): number {
    return this.#serial;
  }

  /** Whether nothing is gathered. */
  get isEmpty(): boolean {
    return this.#start === this.#end;
  }

  /** Whether a frame with this payload goes into the present slab. */
  fits(payloadBytes: number): boolean {
    return this.#slab.length - this.#end >= FRAME_HEADER_BYTES + payloadBytes;
  }

  /** Whether payload bytes can be added to the last frame. */
  hasRoom(payloadBytes: number): boolean {
    return this.#slab.length - this.#end >= payloadBytes;
  }

  /** Whether a frame with this payload can go into any slab. */
  static isBatchable(payloadBytes: number): boolean {
    return FRAME_HEADER_BYTES + payloadBytes <= MAX_SLAB_BYTES;
  }

  /** Starts a new slab; the batch must be empty. */
  renew(payloadBytes: number): void {
    const size = Math.min(Math.max(this.#nextSlabBytes, FRAME_HEADER_BYTES + payloadBytes), MAX_SLAB_BYTES);
    this.#slab = size <= POOLED_SLAB_BYTES ? Buffer.allocUnsafe(size) : Buffer.allocUnsafeSlow(size);
    this.#start = 0;
    this.#end = 0;
    this.#nextSlabBytes = Math.min(this.#nextSlabBytes * 4, MAX_SLAB_BYTES);
  }

  /** Appends a frame, which must fit. @returns its offset, for {@link markFin} */
  append(type: FrameType, flags: number, stream: number, payload: Buffer | undefined): number {
    const offset = this.#end;
    const length = payload === undefined ? 0 : payload.length;
    this.#end = putFrameHeader(this.#slab, offset, type, flags, stream, length);
    if (payload !== undefined) {
      payload.copy(this.#slab, this.#end);
      this.#end += length;
    }
    return offset;
  }

  /** Appends a head's frame, written in place; what it takes at most must fit. @returns its offset */
  appendHead(type: FrameType, flags: number, stream: number, text: string, credit: number | undefined): number {
    const offset = this.#end;
    let end = offset + FRAME_HEADER_BYTES;
    if (credit !== undefined) end = this.#slab.writeUInt32BE(credit, end);
    end += this.#slab.write(text, end, "utf8");
    putFrameHeader(this.#slab, offset, type, flags, stream, end - offset - FRAME_HEADER_BYTES);
    this.#end = end;
    return offset;
  }

  /** Lengthens the last frame by payload bytes; the caller knows that it is the last and that they fit. */
  extend(offset: number, payload: Buffer): void {
    payload.copy(this.#slab, this.#end);
    this.#end += payload.length;
    this.#slab.writeUInt32BE(this.#end - offset - FRAME_HEADER_BYTES, offset);
  }

  /** Sets FIN on a frame of the present batch. */
  markFin(offset: number): void {
    const at = offset + FRAME_HEADER_BYTES - 1;
    this.#slab[at] = (this.#slab[at] ?? 0) | FLAG_FIN;
  }

  /** The message gathered so far; the next frame starts another. */
  take(): Buffer {
    const message = this.#slab.subarray(this.#start, this.#end);
    this.#start = this.#end;
    this.#serial += 1;
    return message;
  }

  /** Room for a frame header that is sent on its own, in front of a slice that is not copied. */
  takeHeader(type: FrameType, flags: number, stream: number, payloadBytes: number): Buffer {
    if (this.#slab.length - this.#end < FRAME_HEADER_BYTES) this.renew(0);
    this.append(type, flags, stream, undefined);
    this.#slab.writeUInt32BE(payloadBytes, this.#end - FRAME_HEADER_BYTES);
    return this.take();
  }

  /** Gives the slab back while nothing is gathered; called when a session falls idle. */
  release(): void {
    if (!this.isEmpty) return;
    this.#slab = EMPTY;
    this.#start = 0;
    this.#end = 0;
    this.#nextSlabBytes = FIRST_SLAB_BYTES;
  }
}
