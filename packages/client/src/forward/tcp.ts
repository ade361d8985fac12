import type { Socket } from "node:net";
import { corkTurn, LIMITS, type MuxStream, ResetCode, type StreamHandler, type TcpOpenHead } from "@ggrok/protocol";
import { breakOff } from "../join.ts";
import { createDial, type Dial } from "./dial.ts";
import { errorCode, resetCodeOfError } from "./failure.ts";
import { IdleTimer } from "./idle-timer.ts";
import { encodeProxyHeader, type ProxyProtocolVersion } from "./proxy-protocol.ts";
import type { Target } from "./target.ts";

/** What a TCP forwarder is made of. */
export interface TcpForwarderOptions {
  readonly target: Target;
  /** Longest silence in both directions; none by default. */
  readonly timeoutMs?: number;
  /** Tell the app who its visitor is. */
  readonly proxyProtocol?: ProxyProtocolVersion;
  readonly onOpen?: () => void;
  /** A connection has ended; `reset` says why it did not end well. */
  readonly onEnd?: (durationMs: number, reset: ResetCode | undefined) => void;
}

/** Hands the connections of one TCP tunnel to its app. */
export interface TcpForwarder {
  onConnection(stream: MuxStream, head: TcpOpenHead, fin: boolean): void;
  readonly openConnections: number;
  /** Cuts everything now. */
  destroy(): void;
}

/** Makes the one that joins a tunnel's streams to connections of `target`, which never comes from the wire. */
export function createTcpForwarder(options: TcpForwarderOptions): TcpForwarder {
  const dial = createDial(options.target);
  const open = new Set<TcpConnection>();
  return {
    get openConnections() {
      return open.size;
    },
    onConnection(stream, head, fin) {
      const startedAt = performance.now();
      options.onOpen?.();
      const connection = new TcpConnection({ ...options, stream, head, hasEnded: fin, dial }, (reset) => {
        open.delete(connection);
        options.onEnd?.(performance.now() - startedAt, reset);
      });
      open.add(connection);
      connection.start();
    },
    destroy() {
      for (const connection of open) connection.fail(ResetCode.Draining, "the agent stopped");
    },
  };
}

interface ConnectionOptions extends TcpForwarderOptions {
  readonly stream: MuxStream;
  readonly head: TcpOpenHead;
  /** The visitor ended its direction with OPEN. */
  readonly hasEnded: boolean;
  readonly dial: Dial;
}

/**
 * A stream joined to a connection of the app: bytes both ways, each direction with its own end, a reset on one side is one on
 * the other. What comes before the app has taken the connection waits in the stream's window.
 */
class TcpConnection implements StreamHandler {
  readonly #o: ConnectionOptions;
  readonly #onEnd: (reset: ResetCode | undefined) => void;
  #socket: Socket | undefined;
  #timer: IdleTimer | undefined;
  #early: Buffer | undefined;
  #hasVisitorEnded: boolean;
  #hasAppEnded = false;
  #isOver = false;

  constructor(options: ConnectionOptions, onEnd: (reset: ResetCode | undefined) => void) {
    this.#o = options;
    this.#onEnd = onEnd;
    this.#hasVisitorEnded = options.hasEnded;
    options.stream.handler = this;
  }

  start(): void {
    const { timeoutMs, dial } = this.#o;
    if (timeoutMs !== undefined) this.#timer = new IdleTimer(timeoutMs, () => this.#onIdle());
    dial({ allowHalfOpen: true }, (error, socket) => {
      if (socket === undefined) this.fail(resetCodeOfError(error), errorCode(error));
      else if (this.#isOver) breakOff(socket);
      else this.#onConnect(socket);
    });
  }

  // ---- the stream

  onData(chunk: Buffer, fin: boolean): boolean {
    this.#timer?.touch();
    if (fin) this.#hasVisitorEnded = true;
    const socket = this.#socket;
    if (socket === undefined) {
      if (chunk.length > 0) this.#early = chunk;
      return false;
    }
    if (chunk.length >= LIMITS.DATA_UNCOPIED_BYTES) corkTurn(socket);
    const hasRoom = chunk.length === 0 || socket.write(chunk);
    if (fin) socket.end();
    return hasRoom || fin;
  }

  onTrailers(): void {
    this.#hasVisitorEnded = true;
    this.#socket?.end();
  }

  onDrain(): void {
    this.#timer?.touch();
    this.#socket?.resume();
  }

  onReset(): void {
    this.#settle(ResetCode.VisitorLeft);
    if (this.#socket !== undefined) breakOff(this.#socket);
  }

  // ---- the app

  #onConnect(socket: Socket): void {
    const { stream, proxyProtocol, head } = this.#o;
    this.#socket = socket;
    stream.dispatched = true;
    // Behind the connect, so that HEAD stands before whatever the app says first.
    stream.sendHead({ status: 200, reason: "", fields: [] });
    socket.on("error", (error) => this.fail(resetCodeOfError(error), errorCode(error)));
    socket.on("data", (chunk: Buffer) => {
      this.#timer?.touch();
      if (!stream.write(chunk)) socket.pause();
    });
    socket.on("end", () => {
      this.#hasAppEnded = true;
      if (!this.#isOver) stream.end();
    });
    socket.on("drain", () => {
      this.#timer?.touch();
      stream.resume();
    });
    socket.on("close", () => {
      // With both ends heard the stream carries what is left to the visitor by itself.
      if (this.#hasVisitorEnded && this.#hasAppEnded) this.#settle(undefined);
      else this.fail(ResetCode.UpstreamReset, "ECONNRESET");
    });
    if (proxyProtocol !== undefined) socket.write(encodeProxyHeader(proxyProtocol, head.meta ?? {}));
    const early = this.#early;
    this.#early = undefined;
    const hasRoom = early === undefined || socket.write(early);
    if (this.#hasVisitorEnded) socket.end();
    // Behind the end there is nothing to wait for, but what was held is still counted.
    if (hasRoom || this.#hasVisitorEnded) stream.resume();
    socket.resume();
  }

  #onIdle(): void {
    // A stalled visitor is not a silent app.
    if (this.#socket?.isPaused() === true) return;
    this.fail(ResetCode.UpstreamTimeout, "nothing moved for too long");
  }

  /** Ends both sides, each with a reset. */
  fail(code: ResetCode, message: string): void {
    if (this.#isOver) return;
    this.#o.stream.reset(code, { message });
    this.#settle(code);
    if (this.#socket !== undefined) breakOff(this.#socket);
  }

  #settle(reset: ResetCode | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#timer?.stop();
    this.#onEnd(reset);
  }
}
