/** Bounds of what is recorded and of the local API, each with the reason for its size. */
export const INSPECTOR_LIMITS = {
  /** Bytes of the history of one folder. A few days of webhooks; a laptop has room for it. */
  STORE_BYTES_MAX: 1_073_741_824,
  /** Exchanges of the history of one folder: what a list can still show. */
  STORE_EXCHANGES_MAX: 10_000,
  /** Bytes of the history where it lives in memory alone. */
  MEMORY_STORE_BYTES_MAX: 67_108_864,
  /** Bytes of a body that is kept. Larger than any webhook; uploads of videos are known by size and digest. */
  BODY_BYTES_MAX: 104_857_600,
  /** Bytes of a body that is kept where the history lives in memory alone. */
  MEMORY_BODY_BYTES_MAX: 8_388_608,
  /** Bytes of a body that waits in memory for its end; a larger one goes into a file as it comes. */
  SPOOL_ABOVE_BYTES: 262_144,
  /** Bytes all open exchanges together may have in memory. */
  HELD_BYTES_MAX: 67_108_864,
  /** Bytes that may wait to be written. */
  PENDING_BYTES_MAX: 33_554_432,
  /** Bytes that are written at once rather than at the end of the interval: a few milliseconds of the disk. */
  FLUSH_BYTES: 4_194_304,
  /** How long a record may wait to be written. With the time of writing it stays below 100 ms. */
  FLUSH_INTERVAL_MS: 60,
  /** After how long an exchange is shown that has not ended: most have by then, and are written once. */
  SHOWN_AFTER_MS: 1_000,
  /** Bytes kept of a WebSocket message or an event: what people read. */
  MESSAGE_BYTES_MAX: 262_144,
  /** Messages kept of one exchange: a chatty socket must not push all other exchanges out. */
  MESSAGES_MAX: 10_000,
  /** Bytes of messages kept of one exchange. */
  MESSAGES_BYTES_MAX: 16_777_216,
  /** Bytes of a body in which names are redacted: it has to be read whole in one go. */
  REDACT_BYTES_MAX: 8_388_608,
  /** Bytes of a call to the local API: a HAR with bodies. */
  API_BODY_BYTES_MAX: 134_217_728,
  /** Exchanges in one answer of the list. */
  LIST_MAX: 1_000,
  /** Entries of a HAR that are taken at a time: as many as a history has. */
  HAR_ENTRIES_MAX: 10_000,
  /** Times one call sends a request again. */
  REPLAYS_MAX: 100,
  /** How long a call waits for the answer to a replay before it says that it is still open. */
  REPLAY_WAIT_MS: 30_000,
  /** Pages that follow the events at a time. */
  EVENT_READERS_MAX: 32,
  /** Bytes that may wait for a page that does not read; it is cut off and asks again from where it was. */
  EVENT_BACKLOG_BYTES_MAX: 4_194_304,
  /** Agents of one folder whose history goes to a file at the same time. */
  STORES_PER_FOLDER_MAX: 8,
} as const;
