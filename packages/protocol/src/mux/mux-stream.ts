import type { ResetCode } from "../errors.ts";
import type { ResponseHead } from "../message/exchange.ts";
import type { HeaderList } from "../message/headers.ts";

/** Why a stream ended before its time. */
export interface StreamReset {
  readonly code: ResetCode;
  /** The acceptor's application saw nothing of it: it may be sent again elsewhere, whatever its method. */
  readonly notProcessed: boolean;
  /** The peer's words, at most 256 bytes; may be empty. */
  readonly message: string;
  /** This end made it up, because the session ended or the peer's head could not be used. */
  readonly local: boolean;
}

/**
 * What the owner of a stream hears. Called from the socket's read callback: it must not block and should not throw.
 */
export interface StreamHandler {
  /** Opener only: a 1xx head (any number up to the limit), then one final head. */
  onHead?(head: ResponseHead, fin: boolean): void;
  /** Opener only: the WebSocket message in which `onHead` came has ended: a head that still waits is written now. */
  onFlush?(): void;
  /**
   * A chunk of the body. It may be empty only with `fin`, which marks the end of this direction.
   *
   * @returns false when the chunk was taken but the reader is full: further chunks wait in the stream until
   * {@link MuxStream.resume}. The chunk counts as consumed on true, or at that call; with `fin` nothing follows to wait for, so
   * that a reader who never calls it returns true.
   */
  onData(chunk: Buffer, fin: boolean): boolean;
  /** Trailer fields; they end this direction. */
  onTrailers(fields: HeaderList): void;
  /** The peer's RESET, or the end of the session. Nothing follows. */
  onReset(reset: StreamReset): void;
  /** The answer is complete, the rest of the request is not wanted. */
  onStopSending?(): void;
  /** `write()` returned false before: there is room again. */
  onDrain(): void;
}

/** One byte channel in each direction inside a session: one visitor exchange. */
export interface MuxStream {
  /** Odd when the dialler of the connection opened it, even when its listener did. */
  readonly id: number;
  handler: StreamHandler;
  /** Set by the acceptor's owner just before anything of the exchange may reach the application. */
  dispatched: boolean;
  /** Whether OPEN has been handed to a socket; before that the exchange may be sent elsewhere. */
  readonly openWritten: boolean;
  /** This end has sent its FIN (it may still wait for credit). */
  readonly localEnded: boolean;
  /** The peer has sent its FIN (chunks may still wait for the reader). */
  readonly remoteEnded: boolean;
  /** Both directions have ended, or the stream was reset. */
  readonly isClosed: boolean;
  /** Body bytes received. */
  readonly bytesIn: number;
  /** Body bytes sent. */
  readonly bytesOut: number;
  /** Acceptor only: a 1xx head, or the final one, before any `write`. */
  sendHead(head: ResponseHead, fin?: boolean): void;
  /** Takes the whole chunk, which must not be changed afterwards. @returns false above 64 KiB queued; `onDrain` follows */
  write(chunk: Buffer): boolean;
  /** Ends this direction, after an optional last chunk. */
  end(chunk?: Buffer): void;
  /** Ends this direction with trailer fields. */
  sendTrailers(fields: HeaderList): void;
  /**
   * Ends both directions now; the handler hears nothing afterwards. Idempotent. `StopSending` is the exception: what was
   * written before is still delivered, only the peer's direction ends.
   */
  reset(code: ResetCode, options?: { message?: string; notProcessed?: boolean }): void;
  /** The reader has room again after `onData` returned false. */
  resume(): void;
}
