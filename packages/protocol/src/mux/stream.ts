import { GgrokError, ResetCode } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import type { ResponseHead } from "../message/exchange.ts";
import type { HeaderList } from "../message/headers.ts";
import { encodeReset, encodeTrailers, encodeU48, responseText } from "../wire/encode.ts";
import { FLAG_FIN, FrameType } from "../wire/frame.ts";
import type { MemoryBudget } from "./memory-budget.ts";
import type { MuxStream, StreamHandler, StreamReset } from "./mux-stream.ts";
import { ReceiveQueue } from "./receive-queue.ts";
import { type DirectionEvent, type DirectionState, NEXT_DIRECTION_STATE } from "./stream-state.ts";
import { SendWindow, StreamReceiveWindow } from "./window.ts";

const EMPTY = Buffer.alloc(0);

/** What a stream needs of its session. */
export interface StreamLink {
  readonly budget: MemoryBudget;
  readonly shortestRttMs: number;
  now(): number;
  /** Puts a frame into the turn's batch. */
  sendFrame(stream: Stream, type: FrameType, flags: number, payload: Buffer | undefined): void;
  /** Puts a HEAD, as JSON, into the turn's batch. */
  sendHead(stream: Stream, flags: number, text: string): void;
  /** Sends a small chunk with the turn's batch if the session has credit and room; false: queue it. */
  sendNow(stream: Stream, chunk: Buffer): boolean;
  /** Sets FIN on the stream's last frame when it is still in the batch, or sends an empty DATA with FIN. */
  sendFin(stream: Stream): void;
  /** The stream has DATA queued and credit. */
  schedule(stream: Stream): void;
  /** A stream's queue is full: what may go goes now, within bounds, so that its writer need not stop and start again. */
  sendEarly(): void;
  /** A WINDOW frame is due. */
  scheduleWindow(stream: Stream): void;
  /** The reader took bytes while memory was short. */
  underPressure(stream: Stream): void;
  /** Neither end will send on this id again. */
  closed(stream: Stream): void;
  isOpenWritten(openSerial: number): boolean;
}

/**
 * One stream of a session. The two directions are independent: each has its state, its window and its queue. A state
 * machine that reads better whole.
 */
export class Stream implements MuxStream {
  readonly id: number;
  readonly isOpener: boolean;
  handler: StreamHandler;
  dispatched = false;

  /** Where the stream's last frame stands in the batch being gathered: used by the session alone. */
  tailSerial = -1;
  tailOffset = 0;
  /** Batch that carries OPEN: set by the session alone. */
  openSerial = -1;
  /** Whether the session's send queue holds the stream: used by the session alone. */
  isScheduled = false;
  /** Whether a WINDOW frame is due: used by the session alone. */
  isWindowDue = false;
  /** When and how much the stream sent lately: used by the session alone, to tell fresh streams. */
  recentSince = 0;
  recentBytes = 0;
  /** Last time the reader took something, in the session's clock. */
  consumedAt: number;

  readonly #link: StreamLink;
  readonly #sendWindow: SendWindow;
  readonly #receiveWindow: StreamReceiveWindow;
  #local: DirectionState;
  #remote: DirectionState;
  #isClosed = false;

  /** Made with the first chunk that cannot go at once: most streams never have one. */
  #queue: Buffer[] | undefined;
  #queuedBytes = 0;
  #needsDrain = false;
  #ending: "no" | "fin" | Buffer = "no";
  #stopAfterEnd = false;

  #inbox: ReceiveQueue | undefined;
  #inboxEnd: "no" | "fin" | HeaderList = "no";
  #isPaused = false;
  #isDelivering = false;
  #wasResumed = false;
  #isDiscarding = false;
  #unconfirmedBytes = 0;
  #informationalHeads = 0;

  constructor(o: {
    id: number;
    isOpener: boolean;
    link: StreamLink;
    handler: StreamHandler;
    sendCredit: number;
    receiveCredit: number;
    localEnded: boolean;
    remoteEnded: boolean;
  }) {
    this.id = o.id;
    this.isOpener = o.isOpener;
    this.handler = o.handler;
    this.#link = o.link;
    this.#sendWindow = new SendWindow(o.sendCredit);
    this.#receiveWindow = new StreamReceiveWindow(o.receiveCredit);
    this.#local = o.localEnded ? "ended" : o.isOpener ? "body" : "head";
    this.#remote = o.remoteEnded ? "ended" : o.isOpener ? "head" : "body";
    this.consumedAt = o.link.now();
  }

  get openWritten(): boolean {
    return !this.isOpener || this.#link.isOpenWritten(this.openSerial);
  }
  get localEnded(): boolean {
    return this.#local === "ended" || this.#ending !== "no";
  }
  get remoteEnded(): boolean {
    return this.#remote === "ended";
  }
  get isClosed(): boolean {
    return this.#isClosed;
  }
  get bytesIn(): number {
    return this.#receiveWindow.received;
  }
  get bytesOut(): number {
    return this.#sendWindow.sent;
  }
  /** Opener: no final head has come. */
  get isUnanswered(): boolean {
    return this.isOpener && this.#remote === "head";
  }
  /** Bytes waiting to be sent. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }
  /** Bytes received and not yet taken by the reader. */
  get heldBytes(): number {
    return this.#receiveWindow.held;
  }
  /** Present size of the receive window in bytes. */
  get receiveWindowBytes(): number {
    return this.#receiveWindow.size;
  }
  /** Whether a turn of the send queue would send something. */
  get canSend(): boolean {
    return this.#queuedBytes > 0 && this.#sendWindow.credit > 0 && !this.#isClosed;
  }

  // ---- sending

  sendHead(head: ResponseHead, fin = false): void {
    if (this.#isClosed) return;
    const isInformational = head.status < 200 && head.status !== 101;
    const text = responseText(head);
    this.#moveLocal(isInformational ? "informational" : "head");
    this.#link.sendHead(this, fin ? FLAG_FIN : 0, text);
    if (fin) this.#endLocal();
  }

  write(chunk: Buffer): boolean {
    if (this.#isClosed || chunk.length === 0) return true;
    this.#moveLocal("data");
    if (this.#queuedBytes === 0 && chunk.length <= this.#sendWindow.credit && this.#link.sendNow(this, chunk)) {
      this.#sendWindow.take(chunk.length);
      return true;
    }
    this.#queue ??= [];
    this.#queue.push(chunk);
    this.#queuedBytes += chunk.length;
    if (this.#sendWindow.credit > 0) this.#link.schedule(this);
    if (this.#queuedBytes < LIMITS.STREAM_SEND_QUEUE_BYTES) return true;
    this.#link.sendEarly();
    if (this.#queuedBytes < LIMITS.STREAM_SEND_QUEUE_BYTES) return true;
    this.#needsDrain = true;
    return false;
  }

  end(chunk?: Buffer): void {
    if (this.#isClosed || this.localEnded) return;
    if (chunk !== undefined) this.write(chunk);
    if (this.#queuedBytes > 0) {
      this.#ending = "fin";
      return;
    }
    this.#moveLocal("data");
    this.#link.sendFin(this);
    this.#endLocal();
  }

  sendTrailers(fields: HeaderList): void {
    if (this.#isClosed || this.localEnded) return;
    const payload = encodeTrailers(fields);
    if (this.#queuedBytes > 0) {
      this.#ending = payload;
      return;
    }
    this.#moveLocal("data");
    this.#link.sendFrame(this, FrameType.Trailers, FLAG_FIN, payload);
    this.#endLocal();
  }

  /**
   * Takes the next slice to send, at most `maxBytes` and what credit allows; `fin` says that it is the last of this
   * direction. Called by the session when it is this stream's turn.
   */
  takeSlice(maxBytes: number): { slice: Buffer; fin: boolean } | undefined {
    const queue = this.#queue;
    const chunk = queue?.[0];
    const room = Math.min(maxBytes, this.#sendWindow.credit);
    if (queue === undefined || chunk === undefined || room <= 0) return undefined;
    let slice = chunk;
    if (chunk.length > room) {
      slice = chunk.subarray(0, room);
      queue[0] = chunk.subarray(room);
    } else {
      queue.shift();
    }
    this.#sendWindow.take(slice.length);
    this.#queuedBytes -= slice.length;
    return { slice, fin: this.#queuedBytes === 0 && this.#ending === "fin" };
  }

  /** A turn is over: sends what stood behind the data. @returns whether the writer is to be asked for more */
  afterTurn(): boolean {
    if (this.#isClosed) return false;
    if (this.#queuedBytes === 0 && this.#ending !== "no") {
      if (this.#ending !== "fin") this.#link.sendFrame(this, FrameType.Trailers, FLAG_FIN, this.#ending);
      this.#endLocal();
      return false;
    }
    return this.#needsDrain && this.#queuedBytes <= LIMITS.STREAM_SEND_QUEUE_BYTES / 2;
  }

  /** Tells the writer that there is room, if there still is. */
  askForMore(): void {
    if (this.#isClosed || !this.#needsDrain || this.#queuedBytes > LIMITS.STREAM_SEND_QUEUE_BYTES / 2) return;
    this.#needsDrain = false;
    this.handler.onDrain();
  }

  reset(code: ResetCode, o: { message?: string; notProcessed?: boolean } = {}): void {
    if (this.#isClosed) {
      this.#dropInbox();
      return;
    }
    if (code === ResetCode.StopSending && this.localEnded) {
      this.#isDiscarding = true;
      this.#dropInbox();
      if (this.#local !== "ended") {
        this.#stopAfterEnd = true;
        return;
      }
    }
    this.#link.sendFrame(this, FrameType.Reset, 0, encodeReset(code, o.notProcessed === true ? 1 : 0, o.message ?? ""));
    this.#close();
    this.#dropInbox();
  }

  // ---- receiving

  /** HEAD from the acceptor. */
  receiveHead(head: ResponseHead, fin: boolean): void {
    const isInformational = head.status < 200 && head.status !== 101;
    if (isInformational && (fin || ++this.#informationalHeads > LIMITS.INFORMATIONAL_HEADS_MAX)) {
      throw violation(
        `more than ${LIMITS.INFORMATIONAL_HEADS_MAX} interim heads, or one with FIN, on stream ${this.id}`,
      );
    }
    this.#moveRemote(isInformational ? "informational" : "head");
    if (fin) this.#moveRemote("end");
    this.handler.onHead?.(head, fin);
    if (fin) this.#closeIfEnded();
  }

  /** DATA; the session has counted it already. */
  receiveData(payload: Buffer, fin: boolean): void {
    if (payload.length === 0 && !fin) throw violation(`empty DATA without FIN on stream ${this.id}`);
    this.#moveRemote("data");
    if (!this.#receiveWindow.receive(payload.length)) {
      throw new GgrokError("ERR_GGROK_WINDOW_EXCEEDED", {
        message: `stream ${this.id} received ${this.#receiveWindow.received} bytes, ${this.#receiveWindow.limit} were allowed`,
      });
    }
    if (fin) this.#moveRemote("end");
    if (!this.#isDiscarding) {
      this.#link.budget.add(payload.length);
      if (this.#isPaused) {
        this.#inbox ??= new ReceiveQueue();
        if (payload.length > 0) this.#inbox.push(payload);
        if (fin) this.#inboxEnd = "fin";
      } else {
        this.#deliver(payload, fin);
      }
    }
    if (fin) this.#closeIfEnded();
  }

  /** TRAILERS; they end the peer's direction. */
  receiveTrailers(fields: HeaderList): void {
    this.#moveRemote("end");
    if (!this.#isDiscarding) {
      if (this.#isPaused) this.#inboxEnd = fields;
      else this.handler.onTrailers(fields);
    }
    this.#closeIfEnded();
  }

  /** RESET from the peer. */
  receiveReset(reset: StreamReset): void {
    this.#end(reset);
  }

  /** WINDOW from the peer. @returns whether it raised anything */
  receiveWindow(limit: number): boolean {
    if (!this.#sendWindow.raise(limit)) return false;
    if (this.#queuedBytes > 0) this.#link.schedule(this);
    return true;
  }

  /** The session has ended, or given this stream up. */
  abandon(reset: StreamReset): void {
    this.#end(reset);
  }

  resume(): void {
    if (this.#isDelivering) {
      this.#wasResumed = true;
      return;
    }
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#confirm();
    while (!this.#isPaused) {
      const chunk = this.#inbox?.shift();
      if (chunk === undefined) break;
      const fin = this.#inboxEnd === "fin" && this.#inbox?.isEmpty === true;
      if (fin) this.#inboxEnd = "no";
      this.#deliver(chunk, fin);
    }
    if (this.#isPaused || this.#inboxEnd === "no") return;
    const end = this.#inboxEnd;
    this.#inboxEnd = "no";
    if (end === "fin") this.handler.onData(EMPTY, true);
    else this.handler.onTrailers(end);
  }

  /** Payload of the WINDOW frame that is due. */
  windowPayload(): Buffer {
    return encodeU48(this.#receiveWindow.limit);
  }

  /** Memory pressure has gone down: grants what was held back. */
  regrant(): void {
    if (this.#isClosed || this.#remote === "ended") return;
    if (this.#receiveWindow.grant(this.#link.budget.creditCapBytes)) this.#link.scheduleWindow(this);
  }

  // ---- inside

  #deliver(chunk: Buffer, fin: boolean): void {
    this.#unconfirmedBytes += chunk.length;
    this.#isDelivering = true;
    const hasRoom = this.handler.onData(chunk, fin);
    this.#isDelivering = false;
    if (hasRoom || this.#wasResumed) {
      this.#wasResumed = false;
      this.#confirm();
    } else {
      this.#isPaused = true;
    }
  }

  /** What the reader was given counts as consumed now. */
  #confirm(): void {
    const bytes = this.#unconfirmedBytes;
    if (bytes === 0) return;
    this.#unconfirmedBytes = 0;
    const { budget } = this.#link;
    budget.remove(bytes);
    const now = this.#link.now();
    this.consumedAt = now;
    if (this.#isClosed || this.#remote === "ended") return;
    const cap = budget.creditCapBytes;
    if (this.#receiveWindow.consume(bytes, now, this.#link.shortestRttMs, cap)) this.#link.scheduleWindow(this);
    else if (cap < this.#receiveWindow.size) this.#link.underPressure(this);
  }

  #dropInbox(): void {
    const held = this.#inbox === undefined ? 0 : this.#drainInboxBytes(this.#inbox);
    const bytes = held + this.#unconfirmedBytes;
    this.#unconfirmedBytes = 0;
    this.#inboxEnd = "no";
    if (bytes > 0) this.#link.budget.remove(bytes);
  }

  #drainInboxBytes(inbox: ReceiveQueue): number {
    let bytes = 0;
    for (let chunk = inbox.shift(); chunk !== undefined; chunk = inbox.shift()) bytes += chunk.length;
    return bytes;
  }

  #end(reset: StreamReset): void {
    if (this.#isClosed) return;
    const isAnswerWhole = this.isOpener && this.#remote === "ended";
    this.#close();
    if (isAnswerWhole) {
      // A direction that has its FIN stays delivered, also when its chunks still wait for the reader.
      this.handler.onStopSending?.();
      return;
    }
    this.#dropInbox();
    this.handler.onReset(reset);
  }

  #close(): void {
    this.#isClosed = true;
    this.#queue = undefined;
    this.#queuedBytes = 0;
    this.#link.closed(this);
  }

  #endLocal(): void {
    this.#local = "ended";
    this.#ending = "no";
    if (this.#stopAfterEnd && this.#remote !== "ended") {
      this.#link.sendFrame(this, FrameType.Reset, 0, encodeReset(ResetCode.StopSending, 0, ""));
      this.#close();
      return;
    }
    this.#closeIfEnded();
  }

  #closeIfEnded(): void {
    if (!this.#isClosed && this.#local === "ended" && this.#remote === "ended") this.#close();
  }

  #moveLocal(event: DirectionEvent): void {
    const next = this.#ending === "no" ? NEXT_DIRECTION_STATE[this.#local][event] : "invalid";
    if (next === "invalid") {
      throw new GgrokError("ERR_GGROK_INTERNAL", { message: `${event} cannot be sent in state ${this.#local}` });
    }
    this.#local = next;
  }

  #moveRemote(event: DirectionEvent): void {
    const next = NEXT_DIRECTION_STATE[this.#remote][event];
    if (next === "invalid") throw violation(`${event} in state ${this.#remote} on stream ${this.id}`);
    this.#remote = next;
  }
}

function violation(message: string): GgrokError {
  return new GgrokError("ERR_GGROK_PROTOCOL_VIOLATION", { message });
}
