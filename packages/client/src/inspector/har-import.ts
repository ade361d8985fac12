import { createHash } from "node:crypto";
import { GgrokError, getField, isFieldValue, isTarget, isToken, LIMITS, validateFields } from "@ggrok/protocol";
import { newExchangeId } from "./exchange-id.ts";
import {
  type DraftRecord,
  type HeaderPairs,
  Outcome,
  type RecordedBody,
  type RecordedMessage,
  type RecordedRequest,
  type RecordedResponse,
} from "./exchange-record.ts";
import type { ExchangeStore } from "./exchange-store.ts";
import { entrySchema, type HarEntry, harSchema, type OwnEntry } from "./har-schema.ts";
import { INSPECTOR_LIMITS } from "./limits.ts";
import { TimeSlice } from "./time-slice.ts";

/** What became of an import. */
export interface HarImport {
  readonly imported: number;
  /** Ids under which the entries are now, in their order. */
  readonly ids: readonly string[];
  readonly skipped: readonly { readonly index: number; readonly reason: string }[];
}

/**
 * Takes the entries of a HAR file into a store. An entry that cannot be one is left out with its reason.
 *
 * @throws GgrokError ERR_GGROK_HAR_INVALID when it is no HAR at all
 */
export async function importHar(store: ExchangeStore, har: unknown): Promise<HarImport> {
  const parsed = harSchema.safeParse(har);
  if (!parsed.success) {
    throw new GgrokError("ERR_GGROK_HAR_INVALID", { message: "the file has no log.entries: it is no HAR" });
  }
  const { entries } = parsed.data.log;
  if (entries.length > INSPECTOR_LIMITS.HAR_ENTRIES_MAX) {
    throw new GgrokError("ERR_GGROK_HAR_INVALID", {
      message: `the HAR has ${entries.length} entries, ${INSPECTOR_LIMITS.HAR_ENTRIES_MAX} are taken at a time`,
    });
  }
  const ids: string[] = [];
  const skipped: { index: number; reason: string }[] = [];
  const slice = new TimeSlice();
  for (const [index, entry] of entries.entries()) {
    if (slice.isOver) await slice.next();
    try {
      const { draft, request, response, messages } = readEntry(entry);
      const record = store.append(draft, { request, response }, messages);
      if (record === undefined) skipped.push({ index, reason: "there was no room for it" });
      else ids.push(record.id);
    } catch (error) {
      skipped.push({ index, reason: error instanceof Error ? error.message : String(error) });
    }
  }
  return { imported: ids.length, ids, skipped };
}

interface ReadEntry {
  readonly draft: DraftRecord;
  readonly request: Buffer | undefined;
  readonly response: Buffer | undefined;
  readonly messages: readonly RecordedMessage[];
}

function readEntry(value: unknown): ReadEntry {
  const parsed = entrySchema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new Error(`${issue?.path.join(".") || "the entry"}: ${issue?.message ?? "is not as HAR has it"}`);
  }
  const entry = parsed.data;
  const own = entry._ggrok;
  const request = readRequest(entry, own);
  const response = entry.response.status === 0 ? undefined : readResponse(entry, own);
  const messages = (entry._webSocketMessages ?? []).map(readMessage);
  const replayOf = own?.replayOf;
  return {
    draft: {
      id: own !== undefined && isFieldValue(own.id) ? own.id : newExchangeId(),
      tunnel: own?.tunnel ?? "imported",
      url: own?.url ?? originOf(entry.request.url),
      kind: own?.kind ?? (entry.response.status === 101 ? "upgrade" : "http"),
      ...(own?.client !== undefined && { client: own.client }),
      request: request.part,
      ...(response !== undefined && { response: response.part }),
      timings: readTimings(entry, own),
      outcome: readOutcome(own, response !== undefined),
      ...(own?.error !== undefined && { error: own.error }),
      ...(replayOf !== undefined && { replayOf }),
      isImported: true,
      isReplayable: (own?.isReplayable ?? entry.response.status !== 101) && request.part.body.isStored,
      ...(own?.signature !== undefined && { signature: own.signature }),
      messages: 0,
      ...(own?.messagesDropped !== undefined && { messagesDropped: own.messagesDropped }),
    },
    request: request.body,
    response: response?.body,
    messages,
  };
}

/** What was open when it was written is over now. */
function readOutcome(own: OwnEntry | undefined, isAnswered: boolean): Outcome {
  if (own !== undefined && own.outcome !== Outcome.Open) return own.outcome;
  return isAnswered ? Outcome.Complete : Outcome.Failed;
}

function readRequest(
  { request }: HarEntry,
  own: OwnEntry | undefined,
): { part: RecordedRequest; body: Buffer | undefined } {
  const { method, url, headers, postData, bodySize } = request;
  if (!isToken(method) || method.length > 64) throw new Error("request.method: is no method");
  if (!URL.canParse(url)) throw new Error("request.url: is no URL");
  const target = own?.request.target ?? targetOf(url);
  if (!isTarget(target) || target.length > LIMITS.TARGET_BYTES_MAX) throw new Error("request.url: cannot be sent");
  const fields = readFields("request.headers", headers);
  // HTTP/2 has no Host, every request of ours has.
  if (own === undefined && getField(fields, "host") === undefined) fields.unshift("Host", new URL(url).host);
  const isAbsent = postData?.text === undefined && postData?.params === undefined && (bodySize ?? 0) > 0;
  const body = isAbsent ? undefined : requestBody(postData);
  return {
    part: {
      method,
      target,
      version: own?.request.version ?? "1.1",
      fields: own === undefined ? fixLength(fields, body?.length) : fields,
      trailers: readList(own?.request.trailers),
      body: describeBody(body, own?.request.body, bodySize),
    },
    body: body?.length === 0 ? undefined : body,
  };
}

function requestBody(postData: HarEntry["request"]["postData"]): Buffer {
  if (postData?.text !== undefined) return bytesOf(postData.text, postData._encoding);
  const params = postData?.params?.map(({ name, value = "" }): [string, string] => [name, value]);
  return Buffer.from(params === undefined ? "" : new URLSearchParams(params).toString());
}

function readResponse(
  { response }: HarEntry,
  own: OwnEntry | undefined,
): { part: RecordedResponse; body: Buffer | undefined } {
  const { status, statusText = "", headers, content, bodySize } = response;
  if (status < 100) throw new Error("response.status: is no status");
  if (!isFieldValue(statusText)) throw new Error("response.statusText: cannot stand in an answer");
  const { text, encoding, _raw: raw } = content ?? {};
  const size = content?.size ?? bodySize ?? 0;
  const body =
    raw !== undefined
      ? Buffer.from(raw, "base64")
      : text !== undefined
        ? bytesOf(text, encoding)
        : size > 0
          ? undefined
          : Buffer.alloc(0);
  const fields = readFields("response.headers", headers);
  return {
    part: {
      status,
      reason: statusText,
      // Others write the decoded text: its coding and its length are no longer true.
      fields: own === undefined && raw === undefined ? fixLength(withoutCoding(fields), body?.length) : fields,
      trailers: readList(own?.response?.trailers),
      informational: (own?.response?.informational ?? []).map((i) => ({ ...i, fields: readList(i.fields) })),
      body: describeBody(body, own?.response?.body, size),
    },
    body: body?.length === 0 ? undefined : body,
  };
}

function readTimings(entry: HarEntry, own: OwnEntry | undefined): DraftRecord["timings"] {
  if (own !== undefined) {
    const { receivedAt, firstByteToAppMs, firstByteFromAppMs, endMs } = own.timings;
    return {
      receivedAt,
      ...(firstByteToAppMs !== undefined && { firstByteToAppMs }),
      ...(firstByteFromAppMs !== undefined && { firstByteFromAppMs }),
      endMs,
    };
  }
  const receivedAt = Date.parse(entry.startedDateTime);
  if (!Number.isFinite(receivedAt)) throw new Error("startedDateTime: is no date");
  const { send = -1, wait = -1 } = entry.timings ?? {};
  return {
    receivedAt,
    ...(send >= 0 && { firstByteToAppMs: send }),
    ...(wait >= 0 && { firstByteFromAppMs: Math.max(0, send) + wait }),
    endMs: entry.time ?? 0,
  };
}

function readMessage(message: NonNullable<HarEntry["_webSocketMessages"]>[number], at: number): RecordedMessage {
  const opcode = message._opcode ?? (message.opcode === 2 ? "binary" : "text");
  const encoding = message._encoding ?? (message._opcode === undefined && opcode === "binary" ? "base64" : undefined);
  const data = bytesOf(message.data, encoding).subarray(0, INSPECTOR_LIMITS.MESSAGE_BYTES_MAX);
  return {
    n: message._n ?? at + 1,
    direction: message.type === "send" ? "in" : "out",
    opcode,
    size: message._size ?? data.length,
    at: Math.round(message.time * 1_000),
    data,
    isWhole: message._whole ?? true,
  };
}

/** Fields as this store keeps them: one character is one byte, one line is one field, and no pseudo fields of HTTP/2. */
function readFields(where: string, headers: readonly { name: string; value: string }[]): string[] {
  const fields: string[] = [];
  for (const { name, value } of headers) {
    if (name.startsWith(":")) continue;
    for (const line of value.split("\n")) fields.push(toBytes(name), toBytes(line.replace(/\r$/, "")));
  }
  try {
    validateFields(fields);
  } catch (error) {
    throw new Error(`${where}: ${error instanceof Error ? error.message : String(error)}`);
  }
  return fields;
}

function readList(fields: readonly string[] = []): HeaderPairs {
  validateFields(fields);
  return fields;
}

function toBytes(text: string): string {
  return /^[\x00-\xff]*$/.test(text) ? text : Buffer.from(text, "utf8").toString("latin1");
}

function withoutCoding(fields: readonly string[]): string[] {
  return removeFields(fields, ["content-encoding", "transfer-encoding"]);
}

/** The length of the body that is there; none where there was none. */
function fixLength(fields: readonly string[], length: number | undefined): string[] {
  const kept = removeFields(fields, ["transfer-encoding"]);
  for (let i = 0; i < kept.length; i += 2) {
    if (kept[i]?.toLowerCase() === "content-length" && length !== undefined) kept[i + 1] = String(length);
  }
  if (length !== undefined && length > 0 && getField(kept, "content-length") === undefined)
    kept.push("Content-Length", String(length));
  return kept;
}

function removeFields(fields: readonly string[], lowerNames: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    if (!lowerNames.includes((fields[i] ?? "").toLowerCase())) kept.push(fields[i] ?? "", fields[i + 1] ?? "");
  }
  return kept;
}

/** What is said of a body: our own words where the bytes bear them out. */
function describeBody(body: Buffer | undefined, own: OwnEntry["request"]["body"] | undefined, size = 0): RecordedBody {
  const facts = {
    ...(own?.isRedacted !== undefined && { isRedacted: own.isRedacted }),
    ...(own?.isPartial !== undefined && { isPartial: own.isPartial }),
  };
  if (body === undefined || own?.isStored === false) {
    return { size: own?.size ?? Math.max(0, size), sha256: own?.sha256 ?? "", isStored: false, ...facts };
  }
  const sha256 = createHash("sha256").update(body).digest("hex");
  return { size: own?.isRedacted === true ? own.size : body.length, sha256, isStored: true, ...facts };
}

function bytesOf(text: string, encoding: string | undefined): Buffer {
  if (encoding === undefined || encoding === "") return Buffer.from(text, "utf8");
  if (encoding.toLowerCase() === "base64") return Buffer.from(text, "base64");
  throw new Error(`a body has the encoding "${encoding}", which HAR does not have`);
}

function originOf(url: string): string {
  return URL.canParse(url) && /^https?:/i.test(url) ? new URL(url).origin : "";
}

function targetOf(url: string): string {
  const { pathname, search } = new URL(url);
  return pathname.startsWith("/") ? pathname + search : `/${search}`;
}
