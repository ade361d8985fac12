import { z } from "zod";
import { EventStreamReader } from "../inspector/event-stream-reader.ts";
import { INSPECTOR_LIMITS } from "../inspector/limits.ts";
import type { ApiClient } from "./api-client.ts";
import { type Summary, summarySchema } from "./exchange-view.ts";

/** How many exchanges one answer of the list has at most. */
export const PAGE_SIZE: number = INSPECTOR_LIMITS.LIST_MAX;
/** Where the local API has its list. */
export const LIST_PATH = "/api/requests/http";

const NO_FILTER = new URLSearchParams();
const listSchema = z.object({ requests: z.array(summarySchema) });
const changeSchema = z.object({ seq: z.number() });
/** A block of `/api/events` that tells of an exchange: new, or changed. */
const EXCHANGE_EVENT = /^event: exchange\ndata: (.+)$/m;

/** What the list is asked for. */
export interface ListQuery {
  readonly limit: number;
  /** Cursors: exchanges with a higher or a lower number. */
  readonly after?: number;
  readonly before?: number;
}

/** One answer of the list. @param filter what the exchanges have to be like; by default nothing */
export async function listRequests(
  api: ApiClient,
  o: ListQuery,
  filter: URLSearchParams = NO_FILTER,
): Promise<readonly Summary[]> {
  const query = new URLSearchParams(filter);
  query.set("limit", String(o.limit));
  if (o.after !== undefined) query.set("after", String(o.after));
  if (o.before !== undefined) query.set("before", String(o.before));
  return (await api.json(listSchema, `${LIST_PATH}?${query}`)).requests;
}

/** Prints what comes, until the agent ends or a signal comes. A request that goes on is printed once, when it has ended. */
export async function followRequests(
  api: ApiClient,
  o: {
    /** The newest that is printed already. */
    readonly last: number;
    readonly filter: URLSearchParams;
    readonly print: (exchange: Summary) => void;
    readonly stop: AbortSignal;
  },
): Promise<void> {
  let { last } = o;
  const goingOn = new Set<number>();
  const changed = new Set<number>();
  const events = new EventStreamReader(INSPECTOR_LIMITS.EVENT_BACKLOG_BYTES_MAX, (block) => {
    const seq = seqOf(block);
    if (seq !== undefined && goingOn.has(seq)) changed.add(seq);
  });
  const printEnded = async (): Promise<void> => {
    for (const seq of changed) {
      changed.delete(seq);
      const only = { limit: 1, after: seq - 1, before: seq + 1 };
      const [exchange] = await listRequests(api, only);
      if (exchange !== undefined && isGoingOn(exchange)) continue;
      goingOn.delete(seq);
      for (const selected of await listRequests(api, only, o.filter)) o.print(selected);
    }
  };
  const printNew = async (): Promise<boolean> => {
    const all = await listRequests(api, { limit: PAGE_SIZE, after: last });
    const newest = Math.max(last, ...all.map(({ seq }) => seq));
    // Whether one that goes on is wanted may depend on its answer.
    for (const exchange of all) if (isGoingOn(exchange)) goingOn.add(exchange.seq);
    const selected = await listRequests(api, { limit: PAGE_SIZE, after: last, before: newest + 1 }, o.filter);
    for (const exchange of selected.toSorted((a, b) => a.seq - b.seq)) {
      if (!goingOn.has(exchange.seq)) o.print(exchange);
    }
    last = newest;
    return all.length === PAGE_SIZE;
  };
  for await (const chunk of await api.open("/api/events", { signal: o.stop })) {
    events.push(chunk as Buffer);
    await printEnded();
    while (await printNew());
  }
}

/** A stream or a WebSocket is worth its line when it begins. */
function isGoingOn({ kind, outcome }: Summary): boolean {
  return kind === "http" && outcome === "open";
}

/** The number of the exchange that an event tells of; undefined for any other event. */
function seqOf(block: Buffer): number | undefined {
  const [, data] = EXCHANGE_EVENT.exec(block.toString("utf8")) ?? [];
  return data === undefined ? undefined : changeSchema.safeParse(JSON.parse(data)).data?.seq;
}
