import { GgrokError } from "@ggrok/protocol";
import { z } from "zod";
import type { ApiCall, Route } from "./api-route.ts";
import { EXCHANGES_PATH } from "./api-shapes.ts";
import { asCurl } from "./as-curl.ts";
import { asFetch } from "./as-fetch.ts";
import { asHttpie } from "./as-httpie.ts";
import { editSchema } from "./edit.ts";
import type { ExchangeRecord } from "./exchange-record.ts";
import { findExchange, readFilter } from "./exchange-routes.ts";
import type { ExchangeStore } from "./exchange-store.ts";
import { isLoopbackHost } from "./guard.ts";
import { writeHar } from "./har.ts";
import { importHar } from "./har-import.ts";
import { readJson } from "./http-answer.ts";
import { INSPECTOR_LIMITS } from "./limits.ts";
import { type PortableRequest, portRequest } from "./portable-request.ts";
import type { Replayed, Replayer } from "./replay.ts";

const orderSchema = z.strictObject({
  id: z.string().min(1),
  /** ngrok's parameter. */
  tunnel_name: z.string().optional(),
  edit: editSchema.optional(),
  times: z.int().min(1).max(INSPECTOR_LIMITS.REPLAYS_MAX).optional(),
  to: z.string().min(1).optional(),
  resign: z.boolean().optional(),
});

/** What the tools are made of. */
export interface ToolOptions {
  readonly store: ExchangeStore;
  readonly replayer: Replayer;
  readonly version: string;
}

/** Copy as a command, HAR in and out, replay. */
export function createToolRoutes({ store, replayer, version }: ToolOptions): Route[] {
  const copy = (write: (request: PortableRequest) => string) => async (call: ApiCall) => {
    const record = findExchange(store, call.parts[0] ?? "");
    const origin = call.query.get("body") === "file" ? undefined : originOf(call);
    call.answer.text(`${write(await toPortable(store, record, origin))}\n`);
  };
  return [
    { method: "GET", path: `${EXCHANGES_PATH}/*/curl`, run: copy(asCurl) },
    { method: "GET", path: `${EXCHANGES_PATH}/*/fetch`, run: copy(asFetch) },
    { method: "GET", path: `${EXCHANGES_PATH}/*/httpie`, run: copy(asHttpie) },
    {
      method: "GET",
      path: "/api/requests/har",
      run: async ({ answer, query }) => {
        const records = await selectRecords(store, query);
        await answer.sendParts("application/json", writeHar(store, records, version), {
          "content-disposition": 'attachment; filename="ggrok.har"',
        });
      },
    },
    {
      method: "POST",
      path: "/api/requests/har",
      run: async ({ request, answer }) => {
        const har = await readJson(request, INSPECTOR_LIMITS.API_BODY_BYTES_MAX);
        answer.json(200, await importHar(store, har));
      },
    },
    {
      method: "POST",
      path: EXCHANGES_PATH,
      run: async ({ request, answer }) => {
        const order = orderSchema.safeParse(await readJson(request, INSPECTOR_LIMITS.API_BODY_BYTES_MAX));
        if (!order.success) throw invalidOrder(order.error);
        const { id, tunnel_name, edit, times, to, resign } = order.data;
        const replays = await replayer.replay({
          id,
          ...(tunnel_name !== undefined && { tunnel: tunnel_name }),
          ...(edit !== undefined && { edit }),
          ...(times !== undefined && { times }),
          ...(to !== undefined && { to }),
          ...(resign !== undefined && { resign }),
        });
        answer.json(200, { replays: replays.map(describeReplay) });
      },
    },
  ];
}

/** A recorded request for the commands that repeat it. */
async function toPortable(
  store: ExchangeStore,
  record: ExchangeRecord,
  origin: string | undefined,
): Promise<PortableRequest> {
  const file = `${record.id.replace(/[^A-Za-z0-9._~-]/g, "_").slice(0, 64)}-request`;
  // What is not stored nobody can load from here: an answer that says so would be sent in its place.
  const isThere = origin !== undefined && record.request.body.isStored;
  const url = isThere ? `${origin}${EXCHANGES_PATH}/${encodeURIComponent(record.id)}/request-body` : undefined;
  return portRequest(record, await store.body(record.id, "request"), { file, ...(url !== undefined && { url }) });
}

/** The exchanges a query names by `ids` or by filter. */
async function selectRecords(store: ExchangeStore, query: URLSearchParams): Promise<readonly ExchangeRecord[]> {
  const ids = query.get("ids");
  if (ids !== null) return ids.split(",").map((id) => findExchange(store, id));
  const filter = readFilter(query);
  return await store.list({ limit: store.stats().count, ...(Object.keys(filter).length > 0 && { filter }) });
}

/** Where a command finds this API without a token: the address the caller used, on this machine only. */
function originOf({ request }: ApiCall): string | undefined {
  const { host } = request.headers;
  if (host === undefined || !URL.canParse(`http://${host}`)) return undefined;
  const { hostname, origin } = new URL(`http://${host}`);
  return isLoopbackHost(hostname.replace(/^\[|\]$/g, "")) ? origin : undefined;
}

function describeReplay(replayed: Replayed): Record<string, unknown> {
  const { id, status, error, message, isOpen } = replayed;
  return {
    id,
    uri: `${EXCHANGES_PATH}/${encodeURIComponent(id)}`,
    ...(status !== undefined && { status_code: status }),
    ...(error !== undefined && { error, msg: message === "" ? undefined : message }),
    ...(isOpen === true && { open: true }),
  };
}

function invalidOrder(error: z.ZodError): GgrokError {
  const [issue] = error.issues;
  const path = issue?.path.join(".") ?? "";
  const code = path.startsWith("edit") ? "ERR_GGROK_EDIT_INVALID" : "ERR_GGROK_API_REQUEST_INVALID";
  return new GgrokError(code, { message: `${path === "" ? "the call" : path}: ${issue?.message ?? "is not valid"}` });
}
