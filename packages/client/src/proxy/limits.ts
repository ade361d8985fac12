/** Bounds of the forward proxy and of the way through someone else's, each with the reason for its size. */
export const PROXY_LIMITS = {
  /** Clients connected at a time; each costs two file descriptors while it is served. */
  CLIENTS_MAX: 1_024,
  /** Clients above that who still get an answer that says so; further ones are hung up on. */
  REFUSED_CLIENTS_MAX: 128,
  /** From the first byte to a complete request: a client that is slower than this is not at work. */
  HEAD_TIMEOUT_MS: 15_000,
  /** How long a client's connection may wait for its next request. Longer than browsers and curl keep theirs. */
  IDLE_CLIENT_MS: 75_000,
  /** Requests of one client that wait for the one before them; hardly any client sends more than one at a time. */
  PIPELINED_REQUESTS_MAX: 64,
  /** Bytes of a request's head, and of an answer's. */
  HEAD_BYTES_MAX: 32_768,
  /** From the name's resolution to a usable connection, other proxies on the way included. */
  CONNECT_TIMEOUT_MS: 10_000,
  /** How long one address of a name may keep the next from being tried. */
  ADDRESS_ATTEMPT_MS: 1_000,
  /** Idle connections kept for all destinations together; those in use are as many as there are clients. */
  IDLE_CONNECTIONS_MAX: 256,
  /** Idle connections kept for one destination or proxy. */
  IDLE_CONNECTIONS_PER_ROUTE_MAX: 32,
  /** How long an unused connection is kept: below the 5 s after which many servers close theirs. */
  IDLE_CONNECTION_MS: 4_000,
  /** Age at which a connection is not used again: a name that moved is looked up anew. */
  CONNECTION_AGE_MS: 300_000,
  /** Bytes of another proxy's answer to CONNECT, or of a SOCKS message. */
  PROXY_ANSWER_BYTES_MAX: 16_384,
  /** How long a refused client may take to read the answer. */
  CLOSE_LINGER_MS: 2_000,
} as const;
