import { randomBytes } from "node:crypto";
import { GgrokError, ResetCode } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import type { ControlMessage } from "../message/control.ts";
import type { OpenHead } from "../message/exchange.ts";
import { DEAF_HANDLER, type Transport, type TransportHandler } from "../transport/transport.ts";
import { encodeControl, encodeGoAway, openText } from "../wire/encode.ts";
import { FLAG_FIN, FrameType } from "../wire/frame.ts";
import { FrameReceiver, MAX_STREAM_ID } from "./frame-receiver.ts";
import { Keepalive } from "./keepalive.ts";
import { MemoryBudget, MemoryLevel } from "./memory-budget.ts";
import { MemoryRelief } from "./memory-relief.ts";
import type { MuxStream, StreamHandler } from "./mux-stream.ts";
import { Outbox } from "./outbox.ts";
import { RoundTrip } from "./round-trip.ts";
import { SessionLink } from "./session-link.ts";
import { Stream } from "./stream.ts";
import { StreamTable } from "./stream-table.ts";
import { SendWindow } from "./window.ts";

/**
 * open: carries streams · suspect: the peer is silent, nothing new is opened · lost: the connection is gone, streams wait
 * for the next one · draining: nothing new, open streams end · closed: over for good.
 */
export type SessionState = "open" | "suspect" | "lost" | "draining" | "closed";

/** What a session tells its owner. */
export interface SessionHandler {
  /** The peer opened a stream; `stream.handler` must be set before this returns. */
  onStream(stream: MuxStream, head: OpenHead, fin: boolean): void;
  /** A CONTROL message of a known type. */
  onControl(message: ControlMessage): void;
  onState(state: SessionState, previous: SessionState): void;
  /** The session is over; its streams have heard it already. */
  onClosed(error: GgrokError): void;
}

/** How a session is set up after the handshake. */
export interface SessionOptions {
  /** The dialler of the connection opens odd ids, its listener even ones. */
  side: "dialler" | "listener";
  id: string;
  /** Both ends have the capability `resume`. */
  resumable: boolean;
  /** Credit this end grants on a stream the peer opens (our hello/welcome `window`), in bytes. */
  localWindow: number;
  /** Credit the peer grants on a stream this end opens, in bytes. */
  peerWindow: number;
  /** Streams this end may have open at the peer. */
  peerMaxStreams: number;
  /** Streams the peer may have open here; 0 when it may open none. */
  localMaxStreams: number;
  heartbeat: { intervalMs: number; timeoutMs: number };
  /** Shared by all sessions of a relay. */
  budget?: MemoryBudget;
  handler: SessionHandler;
  /** First id this end opens; only tests start near the end of the range. */
  firstId?: number;
}

/** Ids left when the session asks to be replaced: room for what is opened while the agent moves. */
const LOW_IDS = 65_536;
const NOOP_HANDLER: StreamHandler = {
  onData: () => true,
  onTrailers() {},
  onReset() {},
  onDrain() {},
};

/**
 * Many streams over one connection, which may break and be replaced: {@link Session.attach} carries everything on. Owns
 * the stream table and liveness; what is sent, and when, is the {@link Outbox}'s, what comes in the {@link FrameReceiver}'s. A
 * state machine that reads better whole.
 */
export class Session {
  readonly id: string;
  readonly side: "dialler" | "listener";
  readonly #o: SessionOptions;
  readonly #budget: MemoryBudget;
  readonly #streams = new StreamTable<Stream>();
  readonly #outbox: Outbox;
  readonly #link: SessionLink;
  readonly #receiver: FrameReceiver;
  readonly #roundTrip = new RoundTrip();
  readonly #transportHandler: TransportHandler;

  #state: SessionState = "lost";
  #transport: Transport | undefined;
  #keepalive: Keepalive | undefined;
  #timer: NodeJS.Timeout | undefined;
  #nextId: number;
  readonly #relief: MemoryRelief;
  #isReplacementWanted = false;
  #undispatched: readonly number[] | undefined;
  #goAwaySent = false;
  #goAwayReceived = false;
  /** One for each `close()` that waits. */
  #onDrained: (() => void)[] = [];

  constructor(options: SessionOptions) {
    this.#o = options;
    this.id = options.id;
    this.side = options.side;
    this.#budget = new MemoryBudget(LIMITS.SESSION_MEMORY_BYTES, options.budget);
    this.#relief = new MemoryRelief(this.#budget, () => this.#streams.all());
    this.#nextId = options.firstId ?? (options.side === "dialler" ? 1 : 2);
    this.#outbox = new Outbox({
      isResumable: options.resumable,
      sendWindow: new SendWindow(LIMITS.SESSION_WINDOW_INITIAL_BYTES),
      sessionLimit: () => this.#receiver.window.limit,
      takeAck: () => this.#receiver.takeAck(),
      onSent: (bytes) => this.#roundTrip.moved(bytes),
    });
    this.#receiver = this.#createReceiver();
    this.#link = new SessionLink({
      budget: this.#budget,
      outbox: this.#outbox,
      roundTrip: this.#roundTrip,
      relief: this.#relief,
      onClosed: (stream) => this.#onStreamClosed(stream),
    });
    this.#transportHandler = {
      onMessage: (message) => this.#onMessage(message),
      onDrain: () => this.#outbox.unblock(),
      onClose: (code, reason) => this.#onTransportClose(code, reason),
    };
  }

  get state(): SessionState {
    return this.#state;
  }
  /** Streams open on the wire, of both ends. */
  get streamCount(): number {
    return this.#streams.size;
  }
  /** Latest round trip in milliseconds; undefined before the first. */
  get rttMs(): number | undefined {
    return this.#roundTrip.latestMs;
  }
  /** Messages received since the handshake; what `hello.resume.received` and `welcome.received` carry. */
  get received(): number {
    return this.#receiver.messages;
  }
  /** Highest id the peer has opened. */
  get lastRemoteId(): number {
    return this.#receiver.lastRemoteId;
  }
  /** Whether a new connection could carry the streams on. */
  get isResumable(): boolean {
    return this.#outbox.isResumable && this.#state !== "closed" && this.#state !== "draining";
  }
  /** Bytes kept for retransmission. */
  get retainedBytes(): number {
    return this.#outbox.retainedBytes;
  }
  /** Payload received and not yet taken by readers, in bytes. */
  get heldBytes(): number {
    return this.#budget.heldBytes;
  }
  /** Present sizes of the windows in bytes, for metrics and tests. */
  get windows(): { session: number; largestStream: number; sendCredit: number } {
    let largestStream = 0;
    for (const stream of this.#streams.all()) largestStream = Math.max(largestStream, stream.receiveWindowBytes);
    return { session: this.#receiver.window.size, largestStream, sendCredit: this.#outbox.sessionCredit };
  }
  /** Whether `open` would succeed. */
  get canOpen(): boolean {
    return (
      this.#state === "open" &&
      this.#streams.size < this.#o.peerMaxStreams &&
      this.#nextId <= MAX_STREAM_ID &&
      this.#budget.level !== MemoryLevel.Full
    );
  }

  /** Ids of the peer's open streams that have not been dispatched to the application; after the end, as it was then. */
  undispatched(): readonly number[] {
    if (this.#undispatched !== undefined) return this.#undispatched;
    const ids: number[] = [];
    for (const stream of this.#streams.all()) if (!stream.isOpener && !stream.dispatched) ids.push(stream.id);
    return ids;
  }

  /**
   * Starts on a connection whose handshake is done, or goes on with the next one.
   *
   * @param o.peerReceived messages the peer has received, when the session is resumed; the rest is sent again
   * @throws GgrokError ERR_GGROK_PROTOCOL_VIOLATION when the peer claims more than was sent
   */
  attach(transport: Transport, o: { peerReceived?: number } = {}): void {
    if (this.#state === "closed") throw new GgrokError("ERR_GGROK_SESSION_LOST");
    this.detach();
    this.#outbox.attach(transport, o.peerReceived);
    this.#transport = transport;
    transport.handler = this.#transportHandler;
    this.#roundTrip.restart();
    const now = performance.now();
    const { intervalMs, timeoutMs } = this.#o.heartbeat;
    this.#keepalive = new Keepalive({
      // The dialler speaks up a little later than the listener's interval, so that usually one of them does.
      pingMs: this.side === "listener" ? intervalMs : intervalMs * 1.2,
      suspectMs: timeoutMs * 0.6,
      timeoutMs,
      always: this.side === "listener",
      nowMs: now,
    });
    this.#setState("open");
    this.#sendPing();
    this.#arm(now);
  }

  /**
   * Cuts the present connection off in code and ends it: messages that still wait in its buffers reach nobody.
   *
   * @returns messages received so far
   */
  detach(): number {
    const transport = this.#transport;
    if (transport !== undefined) {
      this.#letGo();
      transport.handler = DEAF_HANDLER;
      transport.destroy();
      if (this.#state !== "closed") this.#setState("lost");
    }
    return this.#receiver.messages;
  }

  /**
   * Opens a stream.
   *
   * @param o.fin the request has no body
   * @throws GgrokError ERR_GGROK_RELAY_OVERLOADED when {@link canOpen} is false, ERR_GGROK_HEAD_INVALID for a head too large
   */
  open(head: OpenHead, handler: StreamHandler, o: { fin: boolean }): MuxStream {
    if (!this.canOpen) throw new GgrokError("ERR_GGROK_RELAY_OVERLOADED", { message: `session is ${this.#state}` });
    const credit = Math.min(initialCredit(this.#streams.size), this.#budget.creditCapBytes);
    const text = openText(head);
    const id = this.#nextId;
    this.#nextId += 2;
    const stream = new Stream({
      id,
      isOpener: true,
      link: this.#link,
      handler,
      sendCredit: this.#o.peerWindow,
      receiveCredit: credit,
      localEnded: o.fin,
      remoteEnded: false,
    });
    this.#streams.add(id, stream);
    this.#outbox.sendHead(stream, FrameType.Open, o.fin ? FLAG_FIN : 0, text, credit);
    stream.openSerial = stream.tailSerial;
    if (MAX_STREAM_ID - this.#nextId < LOW_IDS && !this.#isReplacementWanted) {
      this.#isReplacementWanted = true;
      this.sendControl({ type: "drain", reason: "stream ids are used up", reconnect: "now" });
    }
    return stream;
  }

  /** Sends a CONTROL message. */
  sendControl(message: ControlMessage): void {
    if (this.#state !== "closed") this.#outbox.sendSessionFrame(FrameType.Control, encodeControl(message));
  }

  /**
   * Asks the peer for a sign of life.
   *
   * @returns the round trip in milliseconds; rejects with ERR_GGROK_SESSION_LOST after `timeoutMs`
   */
  ping(timeoutMs: number): Promise<number> {
    const answered = this.#roundTrip.wait(timeoutMs);
    if (!this.#roundTrip.isPending) this.#sendPing();
    return answered;
  }

  /** Resets the streams this end opened that have no final head yet: their visitors have waited long enough. */
  failUnanswered(): void {
    for (const stream of this.#streams.all()) {
      if (!stream.isUnanswered) continue;
      const notProcessed = !stream.openWritten;
      const { handler } = stream;
      stream.reset(ResetCode.SessionLost);
      handler.onReset({ code: ResetCode.SessionLost, notProcessed, message: "", local: true });
    }
  }

  /** Announces that this end opens nothing more; what is open goes on. */
  goAway(code: ResetCode = ResetCode.Draining): void {
    if (this.#goAwaySent || this.#state === "closed") return;
    this.#goAwaySent = true;
    const lastId = this.#nextId - 2;
    this.#outbox.sendSessionFrame(FrameType.GoAway, encodeGoAway(Math.max(lastId, 0), code));
    if (this.#state !== "lost") this.#setState("draining");
  }

  /**
   * Ends gracefully: no new streams, open ones end, then the connection closes 1001. At the deadline what is left is
   * reset (draining).
   */
  async close(deadlineMs: number = LIMITS.SESSION_CLOSE_MS): Promise<void> {
    if (this.#state === "closed") return;
    if (this.#transport !== undefined) {
      this.goAway();
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          resolve();
        };
        const timer = setTimeout(done, deadlineMs);
        this.#onDrained.push(done);
        this.#checkDrained();
      });
      for (const stream of this.#streams.all()) {
        const { handler } = stream;
        stream.reset(ResetCode.Draining);
        handler.onReset({ code: ResetCode.Draining, notProcessed: false, message: "", local: true });
      }
      this.#outbox.flush();
    }
    this.#finish(new GgrokError("ERR_GGROK_RELAY_DRAINING"), 1001, "going away");
  }

  /**
   * Over for good, now. Every stream hears `onReset` (session-lost); those whose OPEN never left, or that the peer's own
   * account lists as not dispatched, are marked `notProcessed` (protocol.md, "What may be sent again").
   */
  destroy(error: GgrokError, account?: { lastStream: number; undispatched: readonly number[] }): void {
    this.#finish(error, error.closeCode, error.message, account);
  }

  // ---- connection

  #finish(
    error: GgrokError,
    closeCode: number,
    reason: string,
    account?: { lastStream: number; undispatched: readonly number[] },
  ): void {
    if (this.#state === "closed") return;
    const transport = this.#transport;
    this.#undispatched = this.undispatched();
    this.#outbox.flush();
    this.#letGo();
    if (transport !== undefined) {
      transport.handler = DEAF_HANDLER;
      transport.close(closeCode, reason);
    }
    this.#outbox.close();
    this.#setState("closed");
    this.#roundTrip.fail();
    const undispatched = new Set(account?.undispatched);
    for (const stream of this.#streams.all()) {
      const wasNeverRead = account !== undefined && (stream.id > account.lastStream || undispatched.has(stream.id));
      const notProcessed = stream.isOpener && (!stream.openWritten || wasNeverRead);
      stream.abandon({ code: ResetCode.SessionLost, notProcessed, message: error.message, local: true });
    }
    this.#streams.clear();
    this.#drained();
    this.#o.handler.onClosed(error);
  }

  #letGo(): void {
    clearTimeout(this.#timer);
    this.#transport = undefined;
    this.#keepalive = undefined;
    this.#outbox.detach();
  }

  #onTransportClose(code: number, reason: string): void {
    const isBroken = code === 1006;
    const wasDraining = this.#state === "draining";
    this.#letGo();
    // A listener whose session cannot be resumed still waits for the peer's account of what it has dispatched.
    if (isBroken && !wasDraining && (this.#outbox.isResumable || this.side === "listener")) {
      this.#setState("lost");
      return;
    }
    this.#finish(
      new GgrokError("ERR_GGROK_SESSION_LOST", { message: `connection closed (${code}) ${reason}`.trim() }),
      code,
      reason,
    );
  }

  #setState(state: SessionState): void {
    const previous = this.#state;
    if (previous === state) return;
    this.#state = state;
    this.#o.handler.onState(state, previous);
  }

  #arm(now: number): void {
    const delay = this.#keepalive?.delay(now);
    if (delay === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#onTimer(), delay);
    this.#timer.unref();
  }

  #onTimer(): void {
    const keepalive = this.#keepalive;
    if (keepalive === undefined) return;
    const now = performance.now();
    const { liveness, ping } = keepalive.check(now);
    if (liveness === "lost") {
      const transport = this.#transport;
      if (transport === undefined) return;
      transport.handler = DEAF_HANDLER;
      transport.destroy();
      this.#onTransportClose(1006, "nothing received");
      return;
    }
    if (liveness === "suspect" && this.#state === "open") this.#setState("suspect");
    this.#outbox.release();
    if (ping) this.#sendPing();
    this.#relief.check(now);
    this.#arm(now);
  }

  #sendPing(): void {
    const payload = randomBytes(8);
    this.#roundTrip.sent(payload, performance.now());
    this.#outbox.sendSessionFrame(FrameType.Ping, payload);
  }

  // ---- receiving

  #onMessage(message: Buffer): void {
    const now = performance.now();
    this.#keepalive?.heard(now);
    if (this.#state === "suspect") this.#setState("open");
    const transport = this.#transport;
    try {
      this.#receiver.receive(message, now);
    } catch (error) {
      if (this.#transport !== transport) return;
      this.destroy(error instanceof GgrokError ? error : new GgrokError("ERR_GGROK_INTERNAL", { cause: error }));
      return;
    }
    if (this.#transport === transport && this.#relief.isWanted) this.#relief.check(now);
  }

  #createReceiver(): FrameReceiver {
    return new FrameReceiver({
      side: this.side,
      isResumable: this.#o.resumable,
      maxStreams: this.#o.localMaxStreams,
      streams: this.#streams,
      outbox: this.#outbox,
      budget: this.#budget,
      roundTrip: this.#roundTrip,
      isConnected: () => this.#transport !== undefined,
      hasOpened: (id) => id < this.#nextId,
      accept: (id, { head, credit }, fin) => this.#accept(id, head, { credit, fin }),
      onControl: (message) => this.#o.handler.onControl(message),
      onGoAway: () => {
        this.#goAwayReceived = true;
        this.goAway();
        this.#checkDrained();
      },
      sendPing: () => this.#sendPing(),
    });
  }

  #accept(id: number, head: OpenHead, o: { credit: number; fin: boolean }): void {
    const stream = new Stream({
      id,
      isOpener: false,
      link: this.#link,
      handler: NOOP_HANDLER,
      sendCredit: o.credit,
      receiveCredit: this.#o.localWindow,
      localEnded: false,
      remoteEnded: o.fin,
    });
    this.#streams.add(id, stream);
    this.#o.handler.onStream(stream, head, o.fin);
  }

  // ---- streams

  #onStreamClosed(stream: Stream): void {
    this.#streams.delete(stream.id);
    if (this.#streams.size === 0) this.#checkDrained();
  }

  #checkDrained(): void {
    if (this.#streams.size === 0 && this.#goAwayReceived && this.#goAwaySent) this.#drained();
  }

  #drained(): void {
    const waiting = this.#onDrained;
    this.#onDrained = [];
    for (const done of waiting) done();
  }
}

/** Credit given out is memory promised before anything is held: the more streams are open, the less a new one starts with. */
function initialCredit(openStreams: number): number {
  if (openStreams < LIMITS.STREAMS_WITH_FULL_CREDIT) return LIMITS.STREAM_WINDOW_INITIAL_BYTES;
  if (openStreams < LIMITS.STREAMS_WITH_HALF_CREDIT) return LIMITS.MEMORY_HALF_CREDIT_BYTES;
  return LIMITS.MEMORY_LOW_CREDIT_BYTES;
}
