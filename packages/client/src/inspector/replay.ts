import { type ErrorCode, GgrokError, type HttpOpenHead } from "@ggrok/protocol";
import type { OpenTap } from "../forward/exchange-tap.ts";
import { createForwarder, type Forwarder } from "../forward/forwarder.ts";
import { parseTarget } from "../forward/target.ts";
import { applyEdit, type Edit, type ReplayRequest } from "./edit.ts";
import { newExchangeId } from "./exchange-id.ts";
import type { ExchangeRecord } from "./exchange-record.ts";
import type { ExchangeStore } from "./exchange-store.ts";
import { INSPECTOR_LIMITS } from "./limits.ts";
import { ReplayStream } from "./replay-stream.ts";

/** How a request is to be sent again. */
export interface ReplayOrder {
  readonly id: string;
  /** The tunnel whose app gets it; default: the one it came through. */
  readonly tunnel?: string;
  readonly edit?: Edit;
  /** Default: 1. One after the other. */
  readonly times?: number;
  /** Another app, at this URL. */
  readonly to?: string;
  /** Sign it anew, with the secret of the tunnel's webhook. */
  readonly resign?: boolean;
}

/** What became of one replay. */
export interface Replayed {
  /** Under which it is recorded. */
  readonly id: string;
  readonly status?: number;
  readonly error?: ErrorCode;
  readonly message?: string;
  /** The app is still at it. */
  readonly isOpen?: boolean;
}

/** Signs a request anew; undefined: nobody gave a secret. */
export type SignReplay = (request: ReplayRequest, record: ExchangeRecord) => ReplayRequest | undefined;

/** What a replayer is made of. */
export interface ReplayerOptions {
  readonly store: ExchangeStore;
  /** The way to a tunnel's app, as every visitor's request goes. */
  readonly forwarderOf: (tunnel: string) => Forwarder | undefined;
  /** Names of the tunnels that have one. */
  readonly tunnels: () => readonly string[];
  /** What records a replay that goes to another app. */
  readonly openTap: (tunnel: string) => OpenTap | undefined;
  /** Tells the recorder of what the exchange that is about to come is a replay. */
  readonly markReplay: (id: string, originalId: string) => void;
  readonly sign?: SignReplay;
}

/** Sends recorded requests again. */
export interface Replayer {
  /** @throws GgrokError when nothing can be sent */
  replay(order: ReplayOrder): Promise<Replayed[]>;
}

/** Makes the one that sends recorded requests again, each through the forwarder of its tunnel: so it is recorded as any other. */
export function createReplayer(o: ReplayerOptions): Replayer {
  return {
    async replay(order) {
      const record = o.store.get(order.id);
      if (record === undefined) {
        throw new GgrokError("ERR_GGROK_EXCHANGE_UNKNOWN", {
          message: `no recorded exchange has the id "${order.id}"`,
        });
      }
      const { forwarder, tunnel, end } = chooseWay(o, order, record);
      try {
        const request = await prepare(o, order, record);
        const replays: Replayed[] = [];
        for (let i = 0; i < (order.times ?? 1); i++) {
          const id = newExchangeId();
          o.markReplay(id, record.id);
          replays.push({ id, ...(await sendOnce(forwarder, headOf(request, id), request)) });
        }
        return replays;
      } finally {
        end(tunnel);
      }
    },
  };
}

function chooseWay(
  o: ReplayerOptions,
  order: ReplayOrder,
  record: ExchangeRecord,
): { forwarder: Forwarder; tunnel: string; end: (tunnel: string) => void } {
  const { to } = order;
  if (to !== undefined) {
    const target = parseReplayTarget(to);
    const openTap = o.openTap(record.tunnel);
    const forwarder = createForwarder({
      target,
      tunnel: record.tunnel,
      // Another machine knows itself by its own name.
      hostHeader: { mode: target.isLoopback ? "auto" : "rewrite" },
      ...(openTap !== undefined && { openTap }),
    });
    // Open exchanges end on their own; then the connections go.
    return { forwarder, tunnel: record.tunnel, end: () => void forwarder.close() };
  }
  const names = o.tunnels();
  const wanted = order.tunnel ?? record.tunnel;
  const only = names.length === 1 && order.tunnel === undefined ? names[0] : undefined;
  const tunnel = names.includes(wanted) ? wanted : only;
  const forwarder = tunnel === undefined ? undefined : o.forwarderOf(tunnel);
  if (tunnel === undefined || forwarder === undefined) {
    throw new GgrokError("ERR_GGROK_API_NOT_FOUND", {
      message: `there is no tunnel "${wanted}" to send it through; there ${names.length === 1 ? "is" : "are"} ${names.join(", ") || "none"}`,
    });
  }
  return { forwarder, tunnel, end: () => {} };
}

function parseReplayTarget(to: string): ReturnType<typeof parseTarget> {
  if (/^(?:unix|file):/i.test(to)) throw invalid("a replay goes to an http:// or https:// address");
  try {
    return parseTarget(to);
  } catch (cause) {
    throw invalid(cause instanceof Error ? cause.message : String(cause), cause);
  }
}

async function prepare(o: ReplayerOptions, order: ReplayOrder, record: ExchangeRecord): Promise<ReplayRequest> {
  const { request } = record;
  const body = request.body.size === 0 ? Buffer.alloc(0) : await o.store.body(record.id, "request");
  const isBodyGiven = order.edit?.body_base64 !== undefined;
  if (record.kind === "websocket" || record.kind === "upgrade") throw notReplayable("it changed the protocol");
  if (request.body.isPartial === true && !isBodyGiven) throw notReplayable("its body did not come to its end");
  if (body === undefined && !isBodyGiven) {
    throw notReplayable(`its body of ${request.body.size} bytes is not stored; an edit can give another one`);
  }
  if (!record.isReplayable && !isBodyGiven) throw notReplayable("parts of it were redacted");
  const { method, target, version, fields, trailers } = request;
  const original: ReplayRequest = {
    method,
    target,
    version: version === "1.0" ? "1.0" : "1.1",
    fields,
    trailers,
    body: body ?? Buffer.alloc(0),
  };
  const edited = order.edit === undefined ? original : applyEdit(original, order.edit);
  if (order.resign !== true) return edited;
  const signed = o.sign?.(edited, record);
  if (signed === undefined) throw invalid("there is no secret to sign with: start the agent with --verify-webhook");
  return signed;
}

function headOf(request: ReplayRequest, id: string): HttpOpenHead {
  const { method, target, version, fields } = request;
  return { kind: "http", bind: 0, requestId: id, method, target, version, fields };
}

async function sendOnce(
  forwarder: Forwarder,
  head: HttpOpenHead,
  request: ReplayRequest,
): Promise<Omit<Replayed, "id">> {
  const stream = new ReplayStream(request.body, request.trailers);
  forwarder.onStream(stream, head, stream.isBodyless);
  stream.feed();
  let timer: NodeJS.Timeout | undefined;
  const waited = new Promise<"open">((resolve) => {
    timer = setTimeout(() => resolve("open"), INSPECTOR_LIMITS.REPLAY_WAIT_MS);
    timer.unref();
  });
  const end = await Promise.race([stream.ended, waited]);
  clearTimeout(timer);
  if (end !== "open") return end;
  // Nobody reads these events: without an end they would be recorded for ever.
  if (stream.isEventStream) stream.abandon();
  return { ...stream.state, isOpen: true };
}

function notReplayable(reason: string): GgrokError {
  return new GgrokError("ERR_GGROK_EXCHANGE_NOT_REPLAYABLE", {
    message: `This exchange cannot be sent again: ${reason}.`,
  });
}

function invalid(message: string, cause?: unknown): GgrokError {
  return new GgrokError("ERR_GGROK_EDIT_INVALID", { message, cause });
}
