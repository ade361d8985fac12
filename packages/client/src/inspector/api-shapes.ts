import { getField } from "@ggrok/protocol";
import type {
  ExchangeRecord,
  HeaderPairs,
  RecordedBody,
  RecordedMessage,
  RecordedRequest,
  RecordedResponse,
} from "./exchange-record.ts";
import type { ExchangeFigures } from "./exchange-stats.ts";

/** Path of the recorded exchanges. */
export const EXCHANGES_PATH = "/api/requests/http";
/** Bytes of a body that `raw` still carries; a larger one is asked for by its own path. */
export const RAW_BYTES_MAX = 1_048_576;

/** What the local API shows of a tunnel. */
export interface TunnelView {
  readonly name: string;
  readonly url: string | undefined;
  readonly target: string;
  readonly isInspected: boolean;
  readonly figures: ExchangeFigures;
}

/** A tunnel that is online. */
export type OnlineTunnel = TunnelView & { readonly url: string };

/** A tunnel in ngrok's shape; its durations are nanoseconds. */
export function describeTunnel(tunnel: OnlineTunnel): Record<string, unknown> {
  const f = tunnel.figures;
  const figures = {
    count: f.total,
    rate1: f.rate1,
    rate5: f.rate5,
    rate15: f.rate15,
    p50: toNs(f.p50Ms),
    p90: toNs(f.p90Ms),
    p95: toNs(f.p95Ms),
    p99: toNs(f.p99Ms),
  };
  return {
    name: tunnel.name,
    ID: tunnel.name,
    uri: `/api/tunnels/${encodeURIComponent(tunnel.name)}`,
    public_url: tunnel.url,
    proto: tunnel.url.split(":", 1)[0],
    config: { addr: tunnel.target, inspect: tunnel.isInspected },
    metrics: { conns: { ...figures, gauge: f.open }, http: figures },
  };
}

/** The same as an endpoint, ngrok's newer name for it. */
export function describeEndpoint(tunnel: OnlineTunnel): Record<string, unknown> {
  return {
    id: tunnel.name,
    uri: `/api/endpoints/${encodeURIComponent(tunnel.name)}`,
    name: tunnel.name,
    url: tunnel.url,
    proto: tunnel.url.split(":", 1)[0],
    type: "agent",
    upstream: { url: tunnel.target },
  };
}

/** One line of the list. */
export function summarize(record: ExchangeRecord): Record<string, unknown> {
  const { request, response } = record;
  const proto = `HTTP/${request.version}`;
  return {
    ...describeExchange(record),
    request: { method: request.method, proto, uri: request.target, body: describeBody(request.body) },
    response:
      response === undefined
        ? null
        : {
            status: statusLine(response),
            status_code: response.status,
            proto: "HTTP/1.1",
            content_type: getField(response.fields, "content-type") ?? null,
            body: describeBody(response.body),
          },
  };
}

/** Everything of an exchange; `raw` is empty where a body is not stored whole or too large for it. */
export function describeWhole(
  record: ExchangeRecord,
  bodies: { readonly request: Buffer | undefined; readonly response: Buffer | undefined },
): Record<string, unknown> {
  const { request, response } = record;
  return {
    ...describeExchange(record),
    request: {
      method: request.method,
      proto: `HTTP/${request.version}`,
      headers: byName(request.fields),
      uri: request.target,
      raw: raw(`${request.method} ${request.target} HTTP/${request.version}`, request, bodies.request),
      header_list: request.fields,
      trailer_list: request.trailers,
      body: describeBody(request.body),
    },
    response:
      response === undefined
        ? null
        : {
            status: statusLine(response),
            status_code: response.status,
            proto: "HTTP/1.1",
            headers: byName(response.fields),
            raw: raw(`HTTP/1.1 ${statusLine(response)}`, response, bodies.response),
            header_list: response.fields,
            trailer_list: response.trailers,
            informational: response.informational.map((i) => ({
              status_code: i.status,
              reason: i.reason,
              header_list: i.fields,
            })),
            body: describeBody(response.body),
          },
  };
}

/** A WebSocket message or an event. */
export function describeMessage(message: RecordedMessage): Record<string, unknown> {
  const { n, direction, opcode, size, at, data, isWhole } = message;
  return { n, direction, opcode, size, at, data: data.toString("base64"), whole: isWhole };
}

function describeExchange(record: ExchangeRecord): Record<string, unknown> {
  const { timings } = record;
  return {
    uri: `${EXCHANGES_PATH}/${encodeURIComponent(record.id)}`,
    id: record.id,
    seq: record.seq,
    tunnel_name: record.tunnel,
    url: record.url,
    remote_addr: record.client ?? "",
    start: new Date(timings.receivedAt).toISOString(),
    duration: toNs(timings.endMs),
    kind: record.kind,
    outcome: record.outcome,
    error: record.error ?? null,
    timings: {
      received_at: timings.receivedAt,
      first_byte_to_app_ms: timings.firstByteToAppMs ?? null,
      first_byte_from_app_ms: timings.firstByteFromAppMs ?? null,
      end_ms: timings.endMs,
    },
    replay_of: record.replayOf ?? null,
    imported: record.isImported === true,
    replayable: record.isReplayable,
    signature: record.signature ?? null,
    messages: record.messages,
    messages_dropped: record.messagesDropped ?? 0,
  };
}

function describeBody(body: RecordedBody): Record<string, unknown> {
  return {
    size: body.size,
    sha256: body.sha256,
    stored: body.isStored,
    redacted: body.isRedacted === true,
    partial: body.isPartial === true,
  };
}

function raw(firstLine: string, part: RecordedRequest | RecordedResponse, body: Buffer | undefined): string {
  if (!part.body.isStored || part.body.size > RAW_BYTES_MAX) return "";
  let head = `${firstLine}\r\n`;
  for (let i = 0; i < part.fields.length; i += 2) head += `${part.fields[i] ?? ""}: ${part.fields[i + 1] ?? ""}\r\n`;
  return Buffer.concat([Buffer.from(`${head}\r\n`, "latin1"), body ?? Buffer.alloc(0)]).toString("base64");
}

function statusLine(response: RecordedResponse): string {
  return response.reason === "" ? String(response.status) : `${response.status} ${response.reason}`;
}

/** Fields by name, as ngrok has them: Go writes names in their usual case, here the first spelling counts. */
function byName(fields: HeaderPairs): Record<string, string[]> {
  const spelling = new Map<string, string>();
  const values = new Map<string, string[]>();
  for (let i = 0; i < fields.length; i += 2) {
    const given = fields[i] ?? "";
    const name = spelling.get(given.toLowerCase()) ?? given;
    spelling.set(given.toLowerCase(), name);
    const list = values.get(name) ?? [];
    list.push(fields[i + 1] ?? "");
    values.set(name, list);
  }
  return Object.fromEntries(values);
}

function toNs(ms: number): number {
  return Math.round(ms * 1e6);
}
