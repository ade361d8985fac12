import type { ExchangeRecord, HeaderPairs } from "./exchange-record.ts";
import { INSPECTOR_LIMITS } from "./limits.ts";

/** What a record without its fields and bodies takes up, roughly. */
const RECORD_BYTES = 512;

/** An id nobody has yet: front ends that hand out request ids may repeat them. */
export function uniqueId(id: string, taken: { has(id: string): boolean }): string {
  if (!taken.has(id)) return id;
  for (let n = 2; ; n++) if (!taken.has(`${id}~${n}`)) return `${id}~${n}`;
}

/** Whether an id that was freed by a deletion has been given to another exchange than the one that is meant. */
export function isOther(found: { readonly seq: number }, seq: number | undefined): boolean {
  return seq !== undefined && found.seq !== seq;
}

/** Bytes a record counts for, bodies and messages apart. */
export function headBytes(record: Omit<ExchangeRecord, "seq">): number {
  const { request, response } = record;
  let bytes = RECORD_BYTES + request.target.length + fieldBytes(request.fields);
  if (response !== undefined) bytes += fieldBytes(response.fields);
  return bytes;
}

/** How many of the oldest messages have to go. Some more than needed, so that it is not asked at every message. */
export function keepNewest(messages: readonly { readonly data: { readonly length: number } }[]): number {
  let bytes = 0;
  for (const { data } of messages) bytes += data.length;
  if (messages.length <= INSPECTOR_LIMITS.MESSAGES_MAX && bytes <= INSPECTOR_LIMITS.MESSAGES_BYTES_MAX) return 0;
  let gone = 0;
  for (const { data } of messages) {
    const left = messages.length - gone;
    if (left <= INSPECTOR_LIMITS.MESSAGES_MAX * 0.9 && bytes <= INSPECTOR_LIMITS.MESSAGES_BYTES_MAX * 0.9) break;
    bytes -= data.length;
    gone += 1;
  }
  return gone;
}

function fieldBytes(fields: HeaderPairs): number {
  let bytes = 0;
  for (const part of fields) bytes += part.length;
  return bytes;
}
