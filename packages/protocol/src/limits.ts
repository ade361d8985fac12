const KIB = 1_024;
const MIB = 1_024 * KIB;

/**
 * Every bound on what a peer can make this end hold or do. The unit ends the name. docs/limits.md lists them with what
 * happens when each is reached; a test compares the two.
 */
export const LIMITS = {
  /** Largest payload of one frame: a head with all escaping; DATA stays below {@link LIMITS.DATA_BYTES_MAX}. */
  FRAME_PAYLOAD_BYTES_MAX: 131_072,
  /** Largest WebSocket message: one largest frame. */
  MESSAGE_BYTES_MAX: 131_082,
  /** Fragments of one WebSocket message: intermediaries may cut, but not into dust. */
  MESSAGE_FRAGMENTS_MAX: 256,
  /** Chunks the WebSocket receiver may buffer while it waits for the rest of a frame. */
  MESSAGE_CHUNKS_MAX: 4_096,
  /** Largest payload of a DATA frame. */
  DATA_BYTES_MAX: 65_536,
  /** Senders cut DATA here: a message of this size is mostly a slice of one socket read, a larger one is reassembled. */
  DATA_SLICE_BYTES: 16_384,
  /** From here on a chunk goes out as its own message without a copy; below, copying costs less than a write. */
  DATA_UNCOPIED_BYTES: 8_192,
  /** Largest CONTROL payload. */
  CONTROL_BYTES_MAX: 16_384,
  /** Streams named in a hello's account of the last session: so many ids of ten digits fit into one CONTROL. */
  UNDISPATCHED_MAX: 1_024,
  /** Fields of one head or of trailers. */
  FIELDS_MAX: 1_000,
  /** Longest request target, in bytes. */
  TARGET_BYTES_MAX: 16_384,
  /** Words of a RESET, in bytes. */
  RESET_TEXT_BYTES_MAX: 256,
  /** Interim (1xx) heads of one exchange. */
  INFORMATIONAL_HEADS_MAX: 16,
  /** Streams an agent lets the relay open: idle TCP is cheap. */
  STREAMS_MAX: 16_384,
  /** First credit for an answer. */
  STREAM_WINDOW_INITIAL_BYTES: 256 * KIB,
  /** Streams open in a session from which on a new answer starts with {@link LIMITS.MEMORY_HALF_CREDIT_BYTES}. */
  STREAMS_WITH_FULL_CREDIT: 64,
  /** Streams open in a session from which on a new answer starts with {@link LIMITS.MEMORY_LOW_CREDIT_BYTES}. */
  STREAMS_WITH_HALF_CREDIT: 256,
  /** First credit for a request body (`window` of hello and welcome). */
  REQUEST_WINDOW_INITIAL_BYTES: 64 * KIB,
  /** A stream's window never grows above this: 40 MB/s at 100 ms. */
  STREAM_WINDOW_MAX_BYTES: 4 * MIB,
  /** Session credit both ends start with. */
  SESSION_WINDOW_INITIAL_BYTES: 256 * KIB,
  /** Smallest session window: enough to keep a 2 MB/s uplink busy without queueing small exchanges behind bulk. */
  SESSION_WINDOW_MIN_BYTES: 128 * KIB,
  /** Largest session window. */
  SESSION_WINDOW_MAX_BYTES: 8 * MIB,
  /** Queue allowed on the link, in milliseconds of its rate. */
  SESSION_QUEUE_MS: 2,
  /** A PING measures distance only while less than this moved. */
  QUIET_PING_BYTES: 64 * KIB,
  /** Unconsumed payload of one session. */
  SESSION_MEMORY_BYTES: 32 * MIB,
  /** Credit given or renewed above half of the memory budget. */
  MEMORY_HALF_CREDIT_BYTES: 64 * KIB,
  /** Credit given or renewed above three quarters of the memory budget. */
  MEMORY_LOW_CREDIT_BYTES: 16 * KIB,
  /** With memory used up, a reader that took nothing for so long is reset. */
  STALLED_READER_MS: 5_000,
  /** Waiting chunks are copied together into slabs of at most this: a view pins the whole read buffer. */
  RECEIVE_SLAB_BYTES: 64 * KIB,
  /** `write()` returns false from here on. */
  STREAM_SEND_QUEUE_BYTES: 64 * KIB,
  /** First turns may take so much before a waiting stream is served. */
  SEND_FRESH_BYTES: 64 * KIB,
  /** ACK is sent for each so many bytes received, and with each PING and PONG. */
  ACK_BYTES: 64 * KIB,
  /** And for each so many messages: small ones would be held for seconds, grow old, and wait for a full collection. */
  ACK_MESSAGES: 32,
  /** From so many messages on an ACK goes along with what is sent anyway: what is held lets go of its slabs while young. */
  ACK_ALONG_MESSAGES: 8,
  /** Above this much unacknowledged a session cannot be resumed. */
  RETRANSMIT_BYTES_MAX: 16 * MIB,
  /** Legal but useless frames in one window of time before the session is ended. */
  USELESS_FRAMES_MAX: 10_000,
  /** Window of time for {@link LIMITS.USELESS_FRAMES_MAX}. */
  USELESS_FRAMES_WINDOW_MS: 10_000,
  /** Refusals of streams that wait for a peer to read them, before the session is ended. */
  REFUSALS_BYTES_MAX: MIB,
  /** How long starved streams wait at most for another look at the memory. */
  STARVED_CHECK_MS: 250,
  /** PINGs a second that are not counted as useless. */
  PINGS_PER_SECOND_MAX: 10,
  /** Time for `hello` after the upgrade, and for the answer to it. */
  HANDSHAKE_TIMEOUT_MS: 5_000,
  /** Time between PINGs of the listener. */
  HEARTBEAT_INTERVAL_MS: 5_000,
  /** Silence after which a connection is given up. */
  HEARTBEAT_TIMEOUT_MS: 12_500,
  /** Time open streams get when a session is closed gracefully. */
  SESSION_CLOSE_MS: 10_000,
} as const;
