/**
 * One WebSocket as the session sees it: whole messages in, whole messages out, and a word when there is room again.
 */
export interface Transport {
  /** Who hears of messages, room and the end. Replaced when a session takes the connection over from the handshake. */
  handler: TransportHandler;
  /**
   * Hands over one message made of one or two parts, which are not copied and must not be changed afterwards.
   *
   * @returns false when the socket is full; `onDrain` follows
   */
  send(head: Buffer, body?: Buffer): boolean;
  /** Writes what `send` has gathered; call at the end of a turn. */
  flush(): void;
  /** Bytes handed over that the kernel has not taken yet. */
  readonly bufferedBytes: number;
  /** Says goodbye with a WebSocket close code and ends when the peer answers, or soon. */
  close(code: number, reason: string): void;
  /** Ends now. The handler hears nothing afterwards. */
  destroy(): void;
}

/** What a transport tells its owner. */
export interface TransportHandler {
  onMessage(message: Buffer): void;
  onDrain(): void;
  /** The connection has ended, by a close code or (1006) without one. Called once. */
  onClose(code: number, reason: string): void;
}

/** Hears nothing: what a fenced transport is given, so that messages still in its buffers reach nobody. */
export const DEAF_HANDLER: TransportHandler = { onMessage() {}, onDrain() {}, onClose() {} };
