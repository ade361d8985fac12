import { GgrokError } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import type { Transport } from "../transport/transport.ts";
import { encodeHeadText, mostHeadBytes } from "../wire/encode.ts";
import { FLAG_FIN, FrameType } from "../wire/frame.ts";
import { BatchWriter } from "./batch-writer.ts";
import { DueFacts, type FactSink } from "./due-facts.ts";
import { RetransmitLog } from "./retransmit-log.ts";
import { SendQueue } from "./send-queue.ts";
import type { Stream } from "./stream.ts";
import type { SendWindow } from "./window.ts";

/** How long a stream's recent sending counts against it, in milliseconds. */
const RECENT_MS = 100;
/** How often a turn's messages go out before its end: bulk of one stream must leave the others their turn. */
const EARLY_FLUSHES_MAX = 3;

/** What the outbox asks its session at the moment of sending. */
export interface OutboxOptions {
  isResumable: boolean;
  /** The session window the peer grants. */
  sendWindow: SendWindow;
  /** Present limit of the session window this end grants. */
  sessionLimit(): number;
  /** Messages received so far, for an ACK that goes out now. */
  takeAck(): number;
  onSent(bytes: number): void;
}

/**
 * Everything a session sends. Control frames and small chunks are gathered and go out as one message at the end of the
 * turn; larger DATA waits for its stream's turn, 16 KiB each, and is not copied; {@link DueFacts} are written when there is
 * room. A state machine that reads better whole.
 */
export class Outbox implements FactSink {
  readonly #o: OutboxOptions;
  readonly #batch = new BatchWriter();
  readonly #log: RetransmitLog;
  readonly #queue = new SendQueue<Stream>();
  readonly #facts = new DueFacts();
  readonly #flushSoon = (): void => {
    this.#isArmed = false;
    this.#earlyFlushes = 0;
    const streams = this.#askLater;
    if (streams.length > 0) this.#askLater = [];
    for (const stream of streams) stream.askForMore();
    this.flush();
  };
  #transport: Transport | undefined;
  #isArmed = false;
  #earlyFlushes = 0;
  #isEarly = false;
  /** Streams with room for more, whose writers are asked when the turn ends: nobody expects that inside a write. */
  #askLater: Stream[] = [];
  #isBlocked = false;
  #isFlushing = false;
  #isClosed = false;
  #writtenSerial = 0;
  /** Stream whose DATA frame is last in the batch, so that the next chunk can lengthen it. */
  #last: Stream | undefined;

  constructor(options: OutboxOptions) {
    this.#o = options;
    this.#log = new RetransmitLog(LIMITS.RETRANSMIT_BYTES_MAX, options.isResumable);
  }

  /** Number of the batch that frames are added to now. */
  get serial(): number {
    return this.#batch.serial;
  }
  get isResumable(): boolean {
    return this.#log.isComplete;
  }
  get retainedBytes(): number {
    return this.#log.bytes;
  }
  /** Bytes the connection has not taken yet. */
  get bufferedBytes(): number {
    return this.#transport?.bufferedBytes ?? 0;
  }
  get sessionCredit(): number {
    return this.#o.sendWindow.credit;
  }

  /** Whether the batch with this number has been handed to a socket. */
  isWritten(serial: number): boolean {
    return serial < this.#writtenSerial;
  }

  /** Takes a connection; what the peer has not received is sent again first. */
  attach(transport: Transport, peerReceived: number | undefined): void {
    if (peerReceived !== undefined && !this.#log.acknowledge(peerReceived)) {
      throw new GgrokError("ERR_GGROK_PROTOCOL_VIOLATION", {
        message: `the peer claims ${peerReceived} messages, ${this.#log.sent} were sent`,
      });
    }
    this.#transport = transport;
    this.#isBlocked = false;
    for (const message of this.#log.unacknowledged()) {
      if (!transport.send(message.head, message.body)) this.#isBlocked = true;
    }
    this.#writtenSerial = this.#batch.serial;
    this.#facts.ack();
    transport.flush();
    this.#arm();
  }

  /** The connection is gone; what is sent meanwhile waits. */
  detach(): void {
    this.#transport = undefined;
    this.#isBlocked = false;
  }

  /** Nothing is sent any more. */
  close(): void {
    this.#transport = undefined;
    this.#isClosed = true;
  }

  /** The socket has room again. */
  unblock(): void {
    this.#isBlocked = false;
    this.flush();
  }

  raiseSessionLimit(limit: number): boolean {
    if (!this.#o.sendWindow.raise(limit)) return false;
    if (!this.#queue.isEmpty) this.#arm();
    return true;
  }

  acknowledge(count: number): boolean {
    return this.#log.acknowledge(count);
  }

  schedulePong(payload: Buffer): void {
    this.#facts.pong(payload);
    this.#arm();
  }

  scheduleAck(): void {
    if (!this.#log.isComplete) return;
    this.#facts.ack();
    this.#arm();
  }

  /** With whatever goes out next, which may be nothing for long. */
  offerAck(): void {
    if (this.#log.isComplete) this.#facts.ack();
  }

  scheduleSessionWindow(): void {
    this.#facts.sessionWindow();
    this.#arm();
  }

  scheduleWindow(stream: Stream): void {
    if (this.#facts.window(stream)) this.#arm();
  }

  /** Puts a stream that has DATA queued and credit into the send queue. */
  schedule(stream: Stream): void {
    if (stream.isScheduled) return;
    stream.isScheduled = true;
    this.#queue.add(stream, this.#isFresh(stream));
    this.#arm();
  }

  /** Sends what is due before the turn ends, a few times a turn. */
  sendEarly(): void {
    if (this.#isBlocked || this.#isFlushing || this.#earlyFlushes >= EARLY_FLUSHES_MAX) return;
    this.#earlyFlushes += 1;
    this.#isEarly = true;
    this.flush();
    this.#isEarly = false;
  }

  /** A frame of a stream, into the batch. */
  sendFrame(stream: Stream, type: FrameType, flags: number, payload: Buffer | undefined): void {
    this.#placed(stream, this.#append(type, flags, stream.id, payload));
  }

  /** OPEN, which has credit, or HEAD: written where it goes out from, unless it might not fit there. */
  sendHead(stream: Stream, type: FrameType, flags: number, text: string, credit?: number): void {
    const most = mostHeadBytes(text);
    if (BatchWriter.isBatchable(most)) this.#placed(stream, this.#appendHead(type, flags, stream.id, text, credit));
    else this.sendFrame(stream, type, flags, encodeHeadText(text, credit));
  }

  #placed(stream: Stream, offset: number): void {
    if (offset < 0) {
      stream.tailSerial = -1;
    } else {
      stream.tailSerial = this.#batch.serial;
      stream.tailOffset = offset;
    }
    this.#last = undefined;
  }

  sessionLimit(): number {
    return this.#o.sessionLimit();
  }

  takeAck(): number | undefined {
    return this.#log.isComplete ? this.#o.takeAck() : undefined;
  }

  /** A frame of a stream that does not exist here. */
  sendRaw(type: FrameType, id: number, payload: Buffer): void {
    this.#append(type, 0, id, payload);
    this.#last = undefined;
  }

  sendSessionFrame(type: FrameType, payload: Buffer): void {
    this.#append(type, 0, 0, payload);
    this.#last = undefined;
  }

  /** A small chunk of a stream that has nothing queued: with the batch when there is credit and room; false: queue it. */
  sendNow(stream: Stream, chunk: Buffer): boolean {
    const bytes = chunk.length;
    if (bytes >= LIMITS.DATA_SLICE_BYTES || this.#isBlocked || this.#transport === undefined) return false;
    if (bytes > this.#o.sendWindow.credit || !this.#isFresh(stream)) return false;
    this.#appendData(stream, chunk, 0);
    return true;
  }

  /** FIN on the stream's last frame if that is still in the batch, else an empty DATA frame with FIN. */
  sendFin(stream: Stream): void {
    if (stream.tailSerial === this.#batch.serial) this.#batch.markFin(stream.tailOffset);
    else this.sendFrame(stream, FrameType.Data, FLAG_FIN, undefined);
  }

  /** Writes what is due. Called at the end of the turn, and when the socket has room. */
  flush(): void {
    const transport = this.#transport;
    if (transport === undefined || this.#isFlushing) return;
    this.#isFlushing = true;
    if (!this.#isBlocked) {
      this.#facts.write(this);
      this.#pump();
    }
    this.#emit();
    transport.flush();
    this.#isFlushing = false;
  }

  // ---- inside

  #arm(): void {
    if (this.#isArmed || this.#isClosed) return;
    this.#isArmed = true;
    setImmediate(this.#flushSoon);
  }

  /** DATA by turns, until the socket is full, credit is used up or nobody waits. */
  #pump(): void {
    while (!this.#isBlocked && this.#transport !== undefined && this.#o.sendWindow.credit > 0) {
      const stream = this.#queue.next();
      if (stream === undefined) return;
      stream.isScheduled = false;
      let left: number = LIMITS.DATA_SLICE_BYTES;
      while (left > 0) {
        const taken = stream.takeSlice(Math.min(left, this.#o.sendWindow.credit));
        if (taken === undefined) break;
        left -= taken.slice.length;
        this.#appendData(stream, taken.slice, taken.fin ? FLAG_FIN : 0);
      }
      this.#queue.sent(LIMITS.DATA_SLICE_BYTES - left);
      if (stream.canSend && !stream.isScheduled) {
        stream.isScheduled = true;
        this.#queue.add(stream, false);
      }
      if (!stream.afterTurn()) continue;
      if (this.#isEarly) this.#askAtEnd(stream);
      else stream.askForMore();
    }
  }

  #askAtEnd(stream: Stream): void {
    this.#askLater.push(stream);
    this.#arm();
  }

  #appendData(stream: Stream, chunk: Buffer, flags: number): void {
    this.#o.sendWindow.take(chunk.length);
    stream.recentBytes += chunk.length;
    if (chunk.length >= LIMITS.DATA_UNCOPIED_BYTES) {
      this.#emit();
      const header = this.#batch.takeHeader(FrameType.Data, flags, stream.id, chunk.length);
      this.#send(header, chunk);
      stream.tailSerial = -1;
      return;
    }
    const canExtend = this.#last === stream && stream.tailSerial === this.#batch.serial && flags === 0;
    if (canExtend && this.#batch.hasRoom(chunk.length)) {
      this.#batch.extend(stream.tailOffset, chunk);
      return;
    }
    this.sendFrame(stream, FrameType.Data, flags, chunk);
    this.#last = stream;
  }

  /** @returns the frame's offset in the batch, or -1 when it went out as a message of its own */
  #append(type: FrameType, flags: number, id: number, payload: Buffer | undefined): number {
    if (this.#isClosed) return -1;
    const bytes = payload === undefined ? 0 : payload.length;
    if (!this.#batch.fits(bytes)) {
      this.#emit();
      if (payload !== undefined && !BatchWriter.isBatchable(bytes)) {
        this.#send(this.#batch.takeHeader(type, flags, id, bytes), payload);
        return -1;
      }
      this.#batch.renew(bytes);
    }
    const offset = this.#batch.append(type, flags, id, payload);
    this.#arm();
    return offset;
  }

  #appendHead(type: FrameType, flags: number, id: number, text: string, credit: number | undefined): number {
    if (this.#isClosed) return -1;
    const most = mostHeadBytes(text);
    if (!this.#batch.fits(most)) {
      this.#emit();
      this.#batch.renew(most);
    }
    const offset = this.#batch.appendHead(type, flags, id, text, credit);
    this.#arm();
    return offset;
  }

  #emit(): void {
    if (!this.#batch.isEmpty) this.#send(this.#batch.take(), undefined);
  }

  #send(head: Buffer, body: Buffer | undefined): void {
    this.#last = undefined;
    this.#log.push({ head, body });
    this.#o.onSent(head.length + (body?.length ?? 0));
    if (this.#transport === undefined) return; // kept in the log for the next connection
    this.#writtenSerial = this.#batch.serial;
    if (!this.#transport.send(head, body)) this.#isBlocked = true;
  }

  /** Whether a stream has sent less than a slice lately: it goes before those that wait. */
  #isFresh(stream: Stream): boolean {
    const now = performance.now();
    if (now - stream.recentSince > RECENT_MS) {
      stream.recentSince = now;
      stream.recentBytes = 0;
    }
    return stream.recentBytes < LIMITS.DATA_SLICE_BYTES;
  }

  /** Called while idle: gives the slab back. */
  release(): void {
    this.#batch.release();
  }
}
