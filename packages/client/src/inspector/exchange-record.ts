/**
 * Header fields as they stood on the wire: name, value, name, value. Order, case and duplicates are kept; every character is
 * one byte (U+0000-U+00FF).
 */
export type HeaderPairs = readonly string[];

/** How an exchange ended. */
export const Outcome = {
  /** Not ended yet: a WebSocket, an event stream or another upgraded connection from its head on, others after a second. */
  Open: "open",
  /** The answer went out whole. */
  Complete: "complete",
  /** The visitor, or the link to the relay, went away first. */
  VisitorLeft: "visitor-left",
  /** The app ended its connection before the answer was whole. */
  AppReset: "app-reset",
  /** No connection to the app could be had. */
  Refused: "refused",
  /** The app was silent for longer than the tunnel allows. */
  TimedOut: "timed-out",
  /** Anything else: a malformed answer, TLS that failed, an invalid body. `error` has the code. */
  Failed: "failed",
} as const;
export type Outcome = (typeof Outcome)[keyof typeof Outcome];

/** What an exchange carried. */
export type ExchangeKind = "http" | "sse" | "websocket" | "upgrade";

/** What is known of a body. */
export interface RecordedBody {
  /** Bytes that passed. */
  readonly size: number;
  /** Digest of those bytes, lower-case hex; of what is stored when a redaction changed it; empty for upgraded connections. */
  readonly sha256: string;
  /** False: larger than the per-body cap, or not kept for another reason: only size and digest are known. */
  readonly isStored: boolean;
  /** Set when a redaction changed the stored bytes, or kept them from being stored. */
  readonly isRedacted?: boolean;
  /** Set when the exchange ended before the body did. */
  readonly isPartial?: boolean;
}

/** An interim (1xx) answer. */
export interface RecordedInformational {
  readonly status: number;
  readonly reason: string;
  readonly fields: HeaderPairs;
}

/** A request as the agent had it from the relay. */
export interface RecordedRequest {
  readonly method: string;
  readonly target: string;
  /** `1.0` or `1.1`. */
  readonly version: string;
  readonly fields: HeaderPairs;
  readonly trailers: HeaderPairs;
  readonly body: RecordedBody;
}

/** An answer as the app gave it, its hop-by-hop fields included. */
export interface RecordedResponse {
  readonly status: number;
  readonly reason: string;
  readonly fields: HeaderPairs;
  readonly trailers: HeaderPairs;
  readonly body: RecordedBody;
  readonly informational: readonly RecordedInformational[];
}

/** When things happened. All but the first are milliseconds after `receivedAt`. */
export interface RecordedTimings {
  /** Epoch milliseconds. */
  readonly receivedAt: number;
  readonly firstByteToAppMs?: number;
  readonly firstByteFromAppMs?: number;
  readonly endMs: number;
}

/** What a webhook's signature says. */
export interface SignatureVerdict {
  readonly provider: string;
  readonly verdict: "valid" | "invalid" | "skew" | "unknown";
  /** One sentence for people. */
  readonly reason: string;
}

/** One recorded exchange without its bodies and messages. */
export interface ExchangeRecord {
  /** The request id that the relay and the visitor's error page show. A replay has a new one. */
  readonly id: string;
  /** Order of arrival in the store: the cursor of lists and events. */
  readonly seq: number;
  readonly tunnel: string;
  /** Public URL of the tunnel; empty before it had one. */
  readonly url: string;
  readonly kind: ExchangeKind;
  /** The visitor's address. */
  readonly client?: string;
  readonly request: RecordedRequest;
  /** Missing when no final answer came. */
  readonly response?: RecordedResponse;
  readonly timings: RecordedTimings;
  readonly outcome: Outcome;
  /** Code of what went wrong. */
  readonly error?: string;
  /** Id of the exchange this one repeats. */
  readonly replayOf?: string;
  readonly isImported?: boolean;
  /** False: the request's body is not stored as it was. */
  readonly isReplayable: boolean;
  readonly signature?: SignatureVerdict;
  /** How many WebSocket or SSE messages are stored. */
  readonly messages: number;
  /** How many more passed and were not stored. Missing: none. */
  readonly messagesDropped?: number;
}

/** An exchange the store has not numbered yet. */
export type DraftRecord = Omit<ExchangeRecord, "seq">;

/** A body that lies in a file of the store's own folder already. */
export interface BodyFile {
  readonly file: string;
  readonly size: number;
}

/** Bodies that go with a draft; undefined: not stored. An empty body needs none. */
export interface DraftBodies {
  readonly request: Buffer | BodyFile | undefined;
  readonly response: Buffer | BodyFile | undefined;
}

/** A WebSocket message or an event of a text/event-stream. `in`: towards the app. */
export interface RecordedMessage {
  /** From 1, in the order in which they passed, both directions together. */
  readonly n: number;
  readonly direction: "in" | "out";
  readonly opcode: "text" | "binary" | "ping" | "pong" | "close" | "event";
  /** Bytes of the message, decompressed. */
  readonly size: number;
  /** Epoch milliseconds. */
  readonly at: number;
  /** The message's bytes, cut at the message cap: `isWhole` is false then. */
  readonly data: Buffer;
  readonly isWhole: boolean;
}

/** Which body. */
export type BodySide = "request" | "response";
