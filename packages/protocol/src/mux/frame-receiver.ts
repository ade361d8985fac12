import { GgrokError, ResetCode } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import type { ControlMessage } from "../message/control.ts";
import type { OpenHead } from "../message/exchange.ts";
import {
  decodeControl,
  decodeGoAway,
  decodeMessage,
  decodeOpenPayload,
  decodeReset,
  decodeResponseHead,
  decodeTrailers,
  decodeU48,
} from "../wire/decode.ts";
import { encodeReset } from "../wire/encode.ts";
import { FLAG_FIN, FrameType } from "../wire/frame.ts";
import { FloodGuard } from "./flood-guard.ts";
import { type MemoryBudget, MemoryLevel } from "./memory-budget.ts";
import type { Outbox } from "./outbox.ts";
import type { RoundTrip } from "./round-trip.ts";
import type { Stream } from "./stream.ts";
import type { StreamTable } from "./stream-table.ts";
import { SessionReceiveWindow } from "./window.ts";

/** Highest stream id. */
export const MAX_STREAM_ID = 2 ** 31 - 1;

/** The session that a {@link FrameReceiver} works for. */
export interface ReceivingSession {
  readonly side: "dialler" | "listener";
  readonly isResumable: boolean;
  /** Streams the peer may have open here. */
  readonly maxStreams: number;
  readonly streams: StreamTable<Stream>;
  readonly outbox: Outbox;
  readonly budget: MemoryBudget;
  readonly roundTrip: RoundTrip;
  /** Whether it still is on the connection the message came on: a frame can end that. */
  isConnected(): boolean;
  /** Whether an id of this end has been used. */
  hasOpened(id: number): boolean;
  /** The peer opens a stream. */
  accept(id: number, open: { head: OpenHead; credit: number }, fin: boolean): void;
  onControl(message: ControlMessage): void;
  onGoAway(): void;
  sendPing(): void;
}

/**
 * What a session does with what comes in: every frame is checked against the state it must fit (protocol.md, 3), counted
 * where it costs the peer nothing, and handed to its stream. A state machine that reads better whole.
 */
export class FrameReceiver {
  readonly window = new SessionReceiveWindow();
  readonly #session: ReceivingSession;
  readonly #useless = new FloodGuard(LIMITS.USELESS_FRAMES_MAX, LIMITS.USELESS_FRAMES_WINDOW_MS);
  readonly #pings = new FloodGuard(LIMITS.PINGS_PER_SECOND_MAX, 1_000);
  #messages = 0;
  #unackedBytes = 0;
  #unackedMessages = 0;
  #lastRemoteId = 0;
  #headsInMessage: Stream[] = [];

  constructor(session: ReceivingSession) {
    this.#session = session;
  }

  /** Messages received since the handshake. */
  get messages(): number {
    return this.#messages;
  }
  /** Highest id the peer has opened. */
  get lastRemoteId(): number {
    return this.#lastRemoteId;
  }

  /**
   * Takes one message.
   *
   * @throws GgrokError when the peer broke the protocol: the session is over
   */
  receive(message: Buffer, now: number): void {
    const { roundTrip, outbox } = this.#session;
    this.#messages += 1;
    this.#unackedBytes += message.length;
    this.#unackedMessages += 1;
    roundTrip.moved(message.length);
    const before = this.window.received;
    decodeMessage(message, this.#onFrame);
    if (!this.#session.isConnected()) return;
    const bytes = this.window.received - before;
    if (bytes > 0) {
      this.window.measure(bytes, now, roundTrip.shortestMs);
      if (this.window.isDue && this.window.grant(roundTrip.shortestMs)) outbox.scheduleSessionWindow();
    }
    if (this.#unackedBytes >= LIMITS.ACK_BYTES || this.#unackedMessages >= LIMITS.ACK_MESSAGES) outbox.scheduleAck();
    else if (this.#unackedMessages >= LIMITS.ACK_ALONG_MESSAGES) outbox.offerAck();
    if (this.#headsInMessage.length > 0) {
      const streams = this.#headsInMessage;
      this.#headsInMessage = [];
      for (const stream of streams) stream.handler.onFlush?.();
    }
  }

  /** The number of messages for an ACK that goes out now: what it covers is acknowledged. */
  takeAck(): number {
    this.#unackedBytes = 0;
    this.#unackedMessages = 0;
    return this.#messages;
  }

  /** Bound once: decodeMessage calls it for every frame. */
  readonly #onFrame = (type: FrameType, flags: number, id: number, payload: Buffer): void => {
    if (!this.#session.isConnected()) return; // ended by a frame before this one
    if (id === 0) this.#onSessionFrame(type, flags, payload);
    else this.#onStreamFrame(type, flags, id, payload);
  };

  #onStreamFrame(type: FrameType, flags: number, id: number, payload: Buffer): void {
    const fin = (flags & FLAG_FIN) !== 0;
    if (type === FrameType.Open) {
      this.#onOpen(id, payload, fin);
      return;
    }
    if (fin && (type === FrameType.Reset || type === FrameType.Window)) throw violation(`FIN on frame type ${type}`);
    if (type === FrameType.Data && !this.window.receive(payload.length)) {
      throw new GgrokError("ERR_GGROK_WINDOW_EXCEEDED", {
        message: `session received ${this.window.received} bytes, ${this.window.limit} were allowed`,
      });
    }
    const stream = this.#session.streams.get(id);
    if (stream === undefined) {
      if (type > FrameType.Window) throw violation(`frame type ${type} on stream ${id}`);
      const isKnown = this.#isLocalId(id) ? this.#session.hasOpened(id) : id <= this.#lastRemoteId;
      if (!isKnown) throw violation(`frame type ${type} for stream ${id}, which was never opened`);
      return; // late: the stream has ended
    }
    switch (type) {
      case FrameType.Head:
        this.#onHead(stream, payload, fin);
        return;
      case FrameType.Data:
        stream.receiveData(payload, fin);
        return;
      case FrameType.Trailers:
        if (!fin) throw violation("TRAILERS without FIN");
        this.#onTrailers(stream, payload);
        return;
      case FrameType.Reset:
        // Opening and resetting at once must not be free; an agent does not count the relay's, since visitors cause those.
        if (!stream.isOpener && this.#session.side === "listener") this.#countUseless();
        stream.receiveReset({ ...decodeReset(payload), local: false });
        return;
      case FrameType.Window:
        if (!stream.receiveWindow(decodeU48(payload))) this.#countUseless();
        return;
      default:
        throw violation(`frame type ${type} on stream ${id}`);
    }
  }

  #onSessionFrame(type: FrameType, flags: number, payload: Buffer): void {
    if (flags !== 0) throw violation(`flags ${flags} on session frame type ${type}`);
    const { outbox, roundTrip } = this.#session;
    switch (type) {
      case FrameType.Window:
        if (!outbox.raiseSessionLimit(decodeU48(payload))) this.#countUseless();
        return;
      case FrameType.Ping:
        if (payload.length !== 8) throw violation("PING payload is not 8 bytes");
        if (!this.#pings.allow(performance.now())) this.#countUseless();
        outbox.schedulePong(Buffer.from(payload));
        outbox.scheduleAck();
        return;
      case FrameType.Pong:
        if (roundTrip.received(payload, performance.now())) this.#session.sendPing();
        outbox.scheduleAck();
        return;
      case FrameType.GoAway:
        decodeGoAway(payload);
        this.#session.onGoAway();
        return;
      case FrameType.Control: {
        this.#countUseless();
        const message = decodeControl(payload);
        if (message !== undefined) this.#session.onControl(message);
        return;
      }
      case FrameType.Ack:
        if (!this.#session.isResumable) throw violation("ACK without the capability resume");
        if (!outbox.acknowledge(decodeU48(payload))) throw violation("ACK for messages that were not sent");
        return;
      default:
        throw violation(`frame type ${type} on the session`);
    }
  }

  #onOpen(id: number, payload: Buffer, fin: boolean): void {
    const { maxStreams, streams, budget } = this.#session;
    if (this.#isLocalId(id) || id > MAX_STREAM_ID) throw violation(`OPEN of stream ${id} by the wrong end`);
    if (id <= this.#lastRemoteId) throw violation(`OPEN of stream ${id} after ${this.#lastRemoteId}`);
    if (maxStreams === 0) throw violation("this end takes no streams");
    this.#lastRemoteId = id;
    const open = readHead(decodeOpenPayload, payload);
    if (open instanceof GgrokError) {
      this.#countUseless();
      this.#refuse(id, ResetCode.Protocol, open.message);
    } else if (streams.size >= maxStreams || budget.level === MemoryLevel.Full) {
      this.#refuse(id, ResetCode.Refused, `${streams.size} streams are open, ${maxStreams} are allowed`);
    } else {
      this.#session.accept(id, open, fin);
    }
  }

  /** A peer that opens on and on and does not read its refusals must not make them pile up. */
  #refuse(id: number, code: ResetCode, message: string): void {
    const { outbox } = this.#session;
    if (outbox.bufferedBytes > LIMITS.REFUSALS_BYTES_MAX) {
      throw new GgrokError("ERR_GGROK_FLOOD", {
        message: `${outbox.bufferedBytes} bytes wait for a peer that opens streams and does not read`,
      });
    }
    outbox.sendRaw(FrameType.Reset, id, encodeReset(code, 1, message));
  }

  #onHead(stream: Stream, payload: Buffer, fin: boolean): void {
    if (!stream.isOpener) throw violation(`HEAD from the opener of stream ${stream.id}`);
    const head = readHead(decodeResponseHead, payload);
    if (head instanceof GgrokError) {
      failStream(stream, head.message);
      return;
    }
    if (head.status < 200) this.#countUseless();
    stream.receiveHead(head, fin);
    this.#headsInMessage.push(stream);
  }

  #onTrailers(stream: Stream, payload: Buffer): void {
    const fields = readHead(decodeTrailers, payload);
    if (fields instanceof GgrokError) failStream(stream, fields.message);
    else stream.receiveTrailers(fields);
  }

  #isLocalId(id: number): boolean {
    return (id & 1) === (this.#session.side === "dialler" ? 1 : 0);
  }

  #countUseless(): void {
    if (this.#useless.allow(performance.now())) return;
    throw new GgrokError("ERR_GGROK_FLOOD", {
      message: `more than ${LIMITS.USELESS_FRAMES_MAX} useless frames in ${LIMITS.USELESS_FRAMES_WINDOW_MS} ms`,
    });
  }
}

/** A head that cannot be used ends its stream, and what cannot even be read ends the session. */
function readHead<Head>(read: (payload: Buffer) => Head, payload: Buffer): Head | GgrokError {
  try {
    return read(payload);
  } catch (error) {
    if (error instanceof GgrokError && error.code === "ERR_GGROK_HEAD_INVALID") return error;
    throw error;
  }
}

/** The peer's head cannot be used: both ends learn of it, the session goes on. */
function failStream(stream: Stream, message: string): void {
  const { handler } = stream;
  stream.reset(ResetCode.Protocol, { message });
  handler.onReset({ code: ResetCode.UpstreamMalformed, notProcessed: false, message, local: true });
}

function violation(message: string): GgrokError {
  return new GgrokError("ERR_GGROK_PROTOCOL_VIOLATION", { message });
}
