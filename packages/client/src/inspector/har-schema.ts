import { z } from "zod";

const pair = z.object({ name: z.string(), value: z.string() });
const recordedBody = z.object({
  size: z.int().min(0),
  sha256: z.string(),
  isStored: z.boolean(),
  isRedacted: z.boolean().optional(),
  isPartial: z.boolean().optional(),
});
const fieldList = z.array(z.string());

/** What an export of ours adds to an entry. */
const ownSchema = z.object({
  id: z.string().min(1).max(128),
  tunnel: z.string().max(255),
  url: z.string().max(2_048),
  kind: z.enum(["http", "sse", "websocket", "upgrade"]),
  client: z.string().max(255).optional(),
  outcome: z.enum(["open", "complete", "visitor-left", "app-reset", "refused", "timed-out", "failed"]),
  error: z.string().max(255).optional(),
  replayOf: z.string().max(128).optional(),
  isReplayable: z.boolean(),
  signature: z
    .object({ provider: z.string(), verdict: z.enum(["valid", "invalid", "skew", "unknown"]), reason: z.string() })
    .optional(),
  timings: z.object({
    receivedAt: z.number(),
    firstByteToAppMs: z.number().optional(),
    firstByteFromAppMs: z.number().optional(),
    endMs: z.number(),
  }),
  messagesDropped: z.int().min(0).optional(),
  request: z.object({ target: z.string(), version: z.enum(["1.0", "1.1"]), trailers: fieldList, body: recordedBody }),
  response: z
    .object({
      trailers: fieldList,
      informational: z.array(z.object({ status: z.int(), reason: z.string(), fields: fieldList })),
      body: recordedBody,
    })
    .optional(),
});

/** One entry, as far as it is used; unknown members are left alone, as HAR asks for. */
export const entrySchema = z.object({
  startedDateTime: z.string(),
  time: z.number().min(0).optional(),
  request: z.object({
    method: z.string().min(1),
    url: z.string().min(1),
    headers: z.array(pair),
    bodySize: z.number().optional(),
    postData: z
      .object({
        text: z.string().optional(),
        params: z.array(z.object({ name: z.string(), value: z.string().optional() })).optional(),
        mimeType: z.string().optional(),
        _encoding: z.string().optional(),
      })
      .optional(),
  }),
  response: z.object({
    status: z.int().min(0).max(999),
    statusText: z.string().optional(),
    headers: z.array(pair),
    bodySize: z.number().optional(),
    content: z
      .object({
        size: z.number().optional(),
        text: z.string().optional(),
        encoding: z.string().optional(),
        _raw: z.base64().optional(),
      })
      .optional(),
  }),
  timings: z.object({ send: z.number().optional(), wait: z.number().optional() }).optional(),
  _webSocketMessages: z
    .array(
      z.object({
        type: z.string(),
        time: z.number(),
        opcode: z.number(),
        data: z.string(),
        _encoding: z.string().optional(),
        _n: z.int().optional(),
        _opcode: z.enum(["text", "binary", "ping", "pong", "close", "event"]).optional(),
        _size: z.int().min(0).optional(),
        _whole: z.boolean().optional(),
      }),
    )
    .optional(),
  _ggrok: ownSchema.optional(),
});

/** One entry of a HAR file. */
export type HarEntry = z.infer<typeof entrySchema>;
/** What an export of ours adds to it. */
export type OwnEntry = z.infer<typeof ownSchema>;

/** The file around the entries. */
export const harSchema = z.object({
  log: z.object({ version: z.string().optional(), entries: z.array(z.unknown()) }),
});
