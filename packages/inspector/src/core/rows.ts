import type { Summary } from "./exchange.ts";

/** Rows the list keeps: what the history holds by default, and room for a larger one. */
const ROWS_MAX = 20_000;

/** Puts new and changed exchanges in their places, newest first. Rows that stay the same stay the same objects. */
export function mergeRows(rows: readonly Summary[], changes: readonly Summary[]): readonly Summary[] {
  if (changes.length === 0) return rows;
  const byId = new Map(changes.map((change) => [change.id, change]));
  const kept = rows.map((row) => {
    const change = byId.get(row.id);
    if (change === undefined) return row;
    byId.delete(row.id);
    return isNewer(change, row) ? change : row;
  });
  const added = [...byId.values()].sort(newestFirst);
  const oldestAdded = added.at(-1)?.seq ?? Number.POSITIVE_INFINITY;
  const isOnTop = (kept[0]?.seq ?? -1) < oldestAdded;
  const merged = isOnTop ? [...added, ...kept] : [...added, ...kept].sort(newestFirst);
  return merged.length > ROWS_MAX ? merged.slice(0, ROWS_MAX) : merged;
}

/** Takes one out. */
export function removeRow(rows: readonly Summary[], id: string): readonly Summary[] {
  const without = rows.filter((row) => row.id !== id);
  return without.length === rows.length ? rows : without;
}

/** A list that was asked for may arrive behind an event that was sent after it. */
function isNewer(change: Summary, row: Summary): boolean {
  const hasEnded = change.outcome !== "open";
  if (hasEnded !== (row.outcome !== "open")) return hasEnded;
  if (change.response === null && row.response !== null) return false;
  return messagesOf(change) >= messagesOf(row);
}

/** All that passed: of too many the oldest are not kept, so that what is kept may become less. */
function messagesOf({ messages, messages_dropped }: Summary): number {
  return messages + messages_dropped;
}

function newestFirst(a: Summary, b: Summary): number {
  return b.seq - a.seq;
}
