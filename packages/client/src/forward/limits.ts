/** Bounds of the agent's side towards the app, each with the reason for its size. */
export const FORWARD_LIMITS = {
  /**
   * Exchanges that may be open with one app at a time. Long polls, SSE and WebSockets hold theirs for hours, so it is
   * generous; it keeps a flood of visitors from using up the machine's file descriptors.
   */
  OPEN_EXCHANGES_MAX: 4_096,
  /** Exchanges that wait for one of those; above it they are refused as overload and may go to another agent. */
  WAITING_EXCHANGES_MAX: 4_096,
  /** Bytes of an answer's head. As large as what the relay takes from visitors, doubled for cookies. */
  RESPONSE_HEAD_BYTES_MAX: 65_536,
  /** Fields of an answer's head or trailers: the protocol carries no more. */
  RESPONSE_FIELDS_MAX: 1_000,
  /** Interim (1xx) answers passed on for one exchange; the protocol carries no more. */
  INFORMATIONAL_HEADS_MAX: 16,
  /**
   * How long an unused connection to the app is kept. Below the 5 s after which Node, uvicorn and others close theirs, so
   * that a request seldom meets a connection the app is about to close.
   */
  IDLE_CONNECTION_MS: 4_000,
  /** Connections kept unused at most. */
  IDLE_CONNECTIONS_MAX: 256,
  /**
   * Bytes of a 400 or 403 kept back to see whether a development server refuses the host. Django's and Rails' pages are
   * larger; what tells them apart stands in their first lines.
   */
  HELD_ANSWER_BYTES_MAX: 16_384,
  /** How long a connection to the app may take to open: a host that drops packets would hold the visitor for minutes. */
  CONNECT_TIMEOUT_MS: 10_000,
} as const;
