import { GgrokError, getField } from "@ggrok/protocol";
import type { ApiCall, Route } from "./api-route.ts";
import { describeMessage, describeWhole, EXCHANGES_PATH, RAW_BYTES_MAX, summarize } from "./api-shapes.ts";
import { decodeBody } from "./decode-body.ts";
import type { BodySide, ExchangeRecord, RecordedMessage } from "./exchange-record.ts";
import type { ExchangeStore } from "./exchange-store.ts";
import { FILTER_NAMES, type Filter, parseFilter } from "./filter.ts";
import { INSPECTOR_LIMITS } from "./limits.ts";

/** How many exchanges a list has when nobody says. */
const LIST_DEFAULT = 50;
/** How many messages one answer has at most. */
const MESSAGES_PER_ANSWER = 1_000;
/** How many bytes of them: to write more as JSON would hold the tunnels up. */
const MESSAGE_BYTES_PER_ANSWER = 1_048_576;
/** How many messages are read at a time. */
const MESSAGES_PER_READ = 8;

/** Recorded exchanges: list, detail, bodies, messages, delete. */
export function createExchangeRoutes(store: ExchangeStore): Route[] {
  const find = (id: string): ExchangeRecord => findExchange(store, id);
  const sendBody = async (call: ApiCall, side: BodySide): Promise<void> => {
    const record = find(call.parts[0] ?? "");
    const part = side === "request" ? record.request : record.response;
    const body = await store.body(record.id, side);
    if (part === undefined || body === undefined) {
      throw new GgrokError("ERR_GGROK_API_NOT_FOUND", { message: `the ${side}'s body is not stored` });
    }
    const isDecoded = call.query.get("decoded") === "1";
    const content = isDecoded ? await decodeBody(body, getField(part.fields, "content-encoding")) : body;
    call.answer.send(200, "application/octet-stream", content, {
      "content-disposition": `attachment; filename="${safeName(record.id)}-${side}"`,
    });
  };
  return [
    {
      method: "GET",
      path: EXCHANGES_PATH,
      run: async ({ answer, query }) => {
        const requests = (await store.list(readListQuery(query))).map(summarize);
        answer.json(200, { uri: EXCHANGES_PATH, requests, stats: describeStats(store) });
      },
    },
    {
      method: "GET",
      path: `${EXCHANGES_PATH}/*`,
      run: async ({ answer, parts: [id = ""] }) => {
        const record = find(id);
        const read = async (side: BodySide): Promise<Buffer | undefined> => {
          const body = side === "request" ? record.request.body : record.response?.body;
          return body !== undefined && body.size > RAW_BYTES_MAX ? undefined : await store.body(id, side);
        };
        answer.json(200, describeWhole(record, { request: await read("request"), response: await read("response") }));
      },
    },
    { method: "GET", path: `${EXCHANGES_PATH}/*/request-body`, run: (call) => sendBody(call, "request") },
    { method: "GET", path: `${EXCHANGES_PATH}/*/response-body`, run: (call) => sendBody(call, "response") },
    {
      method: "GET",
      path: `${EXCHANGES_PATH}/*/messages`,
      run: ({ answer, query, parts: [id = ""] }) => {
        find(id);
        const { messages, hasMore } = readMessages(store, id, readNumber(query, "after") ?? 0);
        answer.json(200, { messages: messages.map(describeMessage), more: hasMore });
      },
    },
    {
      method: "DELETE",
      path: EXCHANGES_PATH,
      run: ({ answer }) => {
        store.clear();
        answer.empty(204);
      },
    },
    {
      method: "DELETE",
      path: `${EXCHANGES_PATH}/*`,
      run: ({ answer, parts: [id = ""] }) => {
        find(id);
        store.delete(id);
        answer.empty(204);
      },
    },
  ];
}

function readMessages(
  store: ExchangeStore,
  id: string,
  after: number,
): { messages: readonly RecordedMessage[]; hasMore: boolean } {
  const messages: RecordedMessage[] = [];
  let bytes = 0;
  while (messages.length < MESSAGES_PER_ANSWER && bytes < MESSAGE_BYTES_PER_ANSWER) {
    const read = store.messages(id, messages.at(-1)?.n ?? after, MESSAGES_PER_READ);
    messages.push(...read);
    if (read.length < MESSAGES_PER_READ) return { messages, hasMore: false };
    for (const { data } of read) bytes += data.length;
  }
  return { messages, hasMore: true };
}

/** @throws GgrokError when there is none */
export function findExchange(store: ExchangeStore, id: string): ExchangeRecord {
  const record = store.get(id);
  if (record === undefined) {
    throw new GgrokError("ERR_GGROK_EXCHANGE_UNKNOWN", { message: `no recorded exchange has the id "${id}"` });
  }
  return record;
}

/** How the store is doing, as the list and the `stats` event have it. */
export function describeStats(store: ExchangeStore): Record<string, unknown> {
  const { isRecording, ...stats } = store.stats();
  return { ...stats, recording: isRecording, store: store.kind };
}

/** The filter of a query string; names that are no filter are left to others. @throws GgrokError */
export function readFilter(query: URLSearchParams): Filter {
  const names: readonly string[] = FILTER_NAMES;
  try {
    return parseFilter([...query].filter(([name]) => names.includes(name)));
  } catch (cause) {
    throw invalid(cause instanceof Error ? cause.message : String(cause));
  }
}

function readListQuery(query: URLSearchParams): Parameters<ExchangeStore["list"]>[0] {
  const known: readonly string[] = [...FILTER_NAMES, "limit", "before", "after"];
  const unknown = [...query.keys()].find((name) => !known.includes(name));
  // ngrok's own parameter means the same.
  const filter = readFilter(query);
  const tunnel = query.get("tunnel_name");
  if (unknown !== undefined && unknown !== "tunnel_name") throw invalid(`"${unknown}" is no parameter of the list`);
  const beforeSeq = readNumber(query, "before");
  const afterSeq = readNumber(query, "after");
  return {
    limit: Math.min(readNumber(query, "limit") ?? LIST_DEFAULT, INSPECTOR_LIMITS.LIST_MAX),
    ...(beforeSeq !== undefined && { beforeSeq }),
    ...(afterSeq !== undefined && { afterSeq }),
    ...((Object.keys(filter).length > 0 || tunnel !== null) && {
      filter: { ...filter, ...(tunnel !== null && { tunnel }) },
    }),
  };
}

function readNumber(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === "") return undefined;
  if (!/^\d{1,15}$/.test(text)) throw invalid(`"${name}" is a whole number, "${text}" is none`);
  return Number(text);
}

function invalid(message: string): GgrokError {
  return new GgrokError("ERR_GGROK_API_REQUEST_INVALID", { message });
}

/** Ids may come from a visitor. */
function safeName(id: string): string {
  return id.replace(/[^A-Za-z0-9._~-]/g, "_").slice(0, 64);
}
