import type { ErrorCode, HeaderList, HttpOpenHead } from "@ggrok/protocol";

/**
 * Hears everything of one exchange as it passes. It may keep the chunks, which nobody writes to again, but neither change
 * them nor take its time, and it never throws.
 */
export interface ExchangeTap {
  /** The first byte of the request goes to the app. May come twice when a stale connection made a second try necessary. */
  onDispatched(): void;
  /** Bytes of the visitor's body; of an upgraded connection all its bytes. */
  onRequestData(chunk: Buffer): void;
  onRequestTrailers(fields: HeaderList): void;
  /** A body that was awaited has come to its end. */
  onRequestEnd(): void;
  /** An interim answer, with the fields the app wrote. */
  onInformational(status: number, reason: string, fields: HeaderList): void;
  /** The final answer's head or the 101, with the fields the app wrote. */
  onResponseHead(status: number, reason: string, fields: HeaderList): void;
  onResponseData(chunk: Buffer): void;
  onResponseTrailers(fields: HeaderList): void;
  /** Nothing follows. */
  onEnd(end: ExchangeEnd): void;
}

/** How an exchange ended. */
export interface ExchangeEnd {
  /** Why it did not end well. */
  readonly error: ErrorCode | undefined;
  /** The visitor's side ended it, or the way to the visitor. */
  readonly isAbandoned: boolean;
  /** The visitor's body was taken to its end. */
  readonly isRequestWhole: boolean;
}

/** Makes the tap for one exchange; undefined: nobody listens to this one. */
export type OpenTap = (head: HttpOpenHead) => ExchangeTap | undefined;
