/** Header fields as they stood on the wire: name, value, name, value. */
export type HeaderPairs = readonly string[];

/** Which body. */
export type BodySide = "request" | "response";

/** What is known of a body. */
export interface BodyFacts {
  readonly size: number;
  readonly sha256: string;
  readonly stored: boolean;
  readonly redacted: boolean;
  readonly partial: boolean;
}

/** What a webhook's signature says. */
export interface Signature {
  readonly provider: string;
  readonly verdict: "valid" | "invalid" | "skew" | "unknown";
  readonly reason: string;
}

/** Milliseconds after `received_at`, which is epoch milliseconds. */
export interface Timings {
  readonly received_at: number;
  readonly first_byte_to_app_ms: number | null;
  readonly first_byte_from_app_ms: number | null;
  readonly end_ms: number;
}

/** What the list and the whole of an exchange have in common, in the local API's words (docs/inspector-api.md). */
export interface ExchangeFacts {
  readonly id: string;
  readonly seq: number;
  readonly tunnel_name: string;
  readonly url: string;
  readonly remote_addr: string;
  /** Nanoseconds. */
  readonly duration: number;
  readonly kind: "http" | "sse" | "websocket" | "upgrade";
  readonly outcome: string;
  readonly error: string | null;
  readonly timings: Timings;
  readonly replay_of: string | null;
  readonly imported: boolean;
  readonly replayable: boolean;
  readonly signature: Signature | null;
  readonly messages: number;
  readonly messages_dropped: number;
}

/** One line of the list. */
export interface Summary extends ExchangeFacts {
  readonly request: { readonly method: string; readonly proto: string; readonly uri: string; readonly body: BodyFacts };
  readonly response: {
    readonly status: string;
    readonly status_code: number;
    readonly content_type: string | null;
    readonly body: BodyFacts;
  } | null;
}

/** One side of an exchange with its head. */
export interface Message {
  readonly proto: string;
  readonly header_list: HeaderPairs;
  readonly trailer_list: HeaderPairs;
  readonly body: BodyFacts;
}

/** An interim (1xx) answer. */
export interface Informational {
  readonly status_code: number;
  readonly reason: string;
  readonly header_list: HeaderPairs;
}

/** Everything of an exchange. */
export interface Exchange extends ExchangeFacts {
  readonly request: Message & { readonly method: string; readonly uri: string };
  readonly response:
    | (Message & {
        readonly status: string;
        readonly status_code: number;
        readonly informational: readonly Informational[];
      })
    | null;
}

/** A WebSocket message or an event; `in` is towards the app. */
export interface StreamMessage {
  readonly n: number;
  readonly direction: "in" | "out";
  readonly opcode: "text" | "binary" | "ping" | "pong" | "close" | "event";
  readonly size: number;
  /** Epoch milliseconds. */
  readonly at: number;
  /** Base64. */
  readonly data: string;
  readonly whole: boolean;
}

/** A tunnel that is online. */
export interface Tunnel {
  readonly name: string;
  readonly public_url: string;
  readonly config: { readonly addr: string; readonly inspect: boolean };
}

/** How the agent is doing. */
export interface AgentStatus {
  readonly status: "online" | "offline";
  readonly session: string;
  readonly relay: string;
  readonly version: string;
  readonly latency_ms: number | null;
  readonly tunnels: readonly Tunnel[];
}

/** How the history is doing. */
export interface StoreStats {
  readonly store: "sqlite" | "memory" | "none";
  readonly recording: boolean;
  readonly count?: number;
  readonly bytes?: number;
  readonly dropped?: number;
  readonly problem?: string;
}
