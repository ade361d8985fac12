import { getField, getFields } from "@ggrok/protocol";
import { decodeBody } from "./decode-body.ts";
import type {
  ExchangeRecord,
  HeaderPairs,
  RecordedBody,
  RecordedMessage,
  RecordedRequest,
  RecordedResponse,
} from "./exchange-record.ts";
import type { ExchangeStore } from "./exchange-store.ts";
import { publicUrl } from "./portable-request.ts";
import { TimeSlice } from "./time-slice.ts";

/** Messages of one exchange that an export has: as many as are kept. */
const MESSAGES_MAX = 20_000;

/**
 * Writes exchanges as HAR 1.2, the oldest first. What HAR has no place for stands in members that begin with `_`, so that an
 * import gets back what was exported.
 */
export async function* writeHar(
  store: ExchangeStore,
  records: readonly ExchangeRecord[],
  version: string,
): AsyncGenerator<string> {
  const creator = JSON.stringify({ name: "ggrok", version });
  yield `{"log":{"version":"1.2","creator":${creator},"pages":[],"entries":[`;
  let isFirst = true;
  const slice = new TimeSlice();
  for (const record of records.toSorted((a, b) => a.seq - b.seq)) {
    yield `${isFirst ? "\n" : ",\n"}${JSON.stringify(await harEntry(store, record))}`;
    isFirst = false;
    if (slice.isOver) await slice.next();
  }
  yield "\n]}}\n";
}

async function harEntry(store: ExchangeStore, record: ExchangeRecord): Promise<Record<string, unknown>> {
  const { request, response, timings } = record;
  const { receivedAt, firstByteToAppMs = 0, firstByteFromAppMs, endMs } = timings;
  const answeredMs = Math.max(firstByteFromAppMs ?? endMs, firstByteToAppMs);
  const messages = record.messages === 0 ? [] : store.messages(record.id, 0, MESSAGES_MAX);
  return {
    startedDateTime: new Date(receivedAt).toISOString(),
    time: endMs,
    request: harRequest(record, await store.body(record.id, "request")),
    response: await harResponse(response, await store.body(record.id, "response")),
    cache: {},
    timings: {
      blocked: -1,
      dns: -1,
      connect: -1,
      ssl: -1,
      send: firstByteToAppMs,
      wait: answeredMs - firstByteToAppMs,
      receive: Math.max(0, endMs - answeredMs),
    },
    ...(record.error !== undefined && { comment: record.error }),
    ...(messages.length > 0 && { _webSocketMessages: messages.map(harMessage) }),
    _ggrok: {
      id: record.id,
      tunnel: record.tunnel,
      url: record.url,
      kind: record.kind,
      client: record.client,
      outcome: record.outcome,
      error: record.error,
      replayOf: record.replayOf,
      isReplayable: record.isReplayable,
      signature: record.signature,
      timings,
      messagesDropped: record.messagesDropped,
      request: {
        target: request.target,
        version: request.version,
        trailers: request.trailers,
        body: request.body,
      },
      response:
        response === undefined
          ? undefined
          : { trailers: response.trailers, informational: response.informational, body: response.body },
    },
  };
}

function harRequest(record: ExchangeRecord, body: Buffer | undefined): Record<string, unknown> {
  const { request } = record;
  const url = publicUrl(record);
  const mimeType = getField(request.fields, "content-type") ?? "";
  const query = url.includes("?") ? [...new URLSearchParams(url.slice(url.indexOf("?") + 1))] : [];
  return {
    method: request.method,
    url,
    httpVersion: `HTTP/${request.version}`,
    cookies: getFields(request.fields, "cookie").flatMap(requestCookies),
    headers: harFields(request.fields),
    queryString: query.map(([name, value]) => ({ name, value })),
    headersSize: headSize(`${request.method} ${request.target} HTTP/${request.version}`, request),
    bodySize: request.body.size,
    ...(request.body.size > 0 && { postData: { mimeType, ...harText(body, "_encoding"), ...absence(request.body) } }),
  };
}

async function harResponse(response: RecordedResponse | undefined, body: Buffer | undefined): Promise<object> {
  if (response === undefined) {
    const content = { size: 0, mimeType: "x-unknown" };
    const shape = { httpVersion: "HTTP/1.1", cookies: [], headers: [], content, redirectURL: "" };
    return { status: 0, statusText: "", ...shape, headersSize: -1, bodySize: -1 };
  }
  const { fields } = response;
  const decoded = await decodedBody(fields, body);
  return {
    status: response.status,
    statusText: response.reason,
    httpVersion: "HTTP/1.1",
    cookies: getFields(fields, "set-cookie").map((text) => cookie(text.split(";", 1)[0] ?? "")),
    headers: harFields(fields),
    content: {
      size: (decoded ?? body)?.length ?? response.body.size,
      mimeType: getField(fields, "content-type") ?? "x-unknown",
      ...(decoded !== undefined && { compression: decoded.length - response.body.size }),
      ...harText(decoded ?? body, "encoding"),
      // Readers of HAR expect the decoded text; the bytes as they came stand beside it.
      ...(decoded !== undefined && { _raw: body?.toString("base64") }),
      ...absence(response.body),
    },
    redirectURL: getField(fields, "location") ?? "",
    headersSize: headSize(`HTTP/1.1 ${response.status} ${response.reason}`, response),
    bodySize: response.body.size,
  };
}

/** The content without its coding; undefined when it has none, or one that cannot be undone. */
async function decodedBody(fields: HeaderPairs, body: Buffer | undefined): Promise<Buffer | undefined> {
  const codings = getFields(fields, "content-encoding").join(",");
  if (body === undefined || body.length === 0 || codings === "" || codings.toLowerCase() === "identity")
    return undefined;
  try {
    return await decodeBody(body, codings);
  } catch {
    return undefined;
  }
}

/** Bytes as text where they are text; HAR knows an encoding for answers only, so a request has a member of its own. */
function harText(body: Buffer | undefined, encodingName: "encoding" | "_encoding"): Record<string, string> {
  if (body === undefined) return {};
  const text = body.toString("utf8");
  if (Buffer.from(text, "utf8").equals(body)) return { text };
  return { text: body.toString("base64"), [encodingName]: "base64" };
}

function absence(body: RecordedBody): Record<string, string> {
  return body.isStored ? {} : { comment: `not stored: ${body.size} bytes` };
}

function harFields(fields: HeaderPairs): { name: string; value: string }[] {
  const list: { name: string; value: string }[] = [];
  for (let i = 0; i < fields.length; i += 2) list.push({ name: fields[i] ?? "", value: fields[i + 1] ?? "" });
  return list;
}

function requestCookies(value: string): { name: string; value: string }[] {
  return value
    .split(";")
    .filter((pair) => pair.trim() !== "")
    .map(cookie);
}

function cookie(pair: string): { name: string; value: string } {
  const at = pair.indexOf("=");
  return at === -1
    ? { name: "", value: pair.trim() }
    : { name: pair.slice(0, at).trim(), value: pair.slice(at + 1).trim() };
}

function headSize(firstLine: string, { fields }: RecordedRequest | RecordedResponse): number {
  let size = firstLine.length + 4;
  for (const part of fields) size += part.length + 2;
  return size;
}

/** A message in the shape browsers write; what they have no member for begins with `_`. */
function harMessage(message: RecordedMessage): Record<string, unknown> {
  const { direction, opcode, at, data, isWhole, size, n } = message;
  const text = data.toString("utf8");
  const isText = opcode !== "binary" && Buffer.from(text, "utf8").equals(data);
  return {
    type: direction === "in" ? "send" : "receive",
    time: at / 1_000,
    opcode: OPCODES[opcode],
    data: isText ? text : data.toString("base64"),
    ...(!isText && { _encoding: "base64" }),
    _n: n,
    _opcode: opcode,
    _size: size,
    _whole: isWhole,
  };
}

/** RFC 6455 section 11.8; an event of a text/event-stream is text. */
const OPCODES = { text: 1, binary: 2, close: 8, ping: 9, pong: 10, event: 1 } as const satisfies Record<
  RecordedMessage["opcode"],
  number
>;
