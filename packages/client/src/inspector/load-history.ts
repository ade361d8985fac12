import { type Entry, withCounts } from "./entry-table.ts";
import { type ExchangeRecord, Outcome } from "./exchange-record.ts";
import { parseRecord } from "./history-file.ts";
import type { HistoryParts } from "./history-reader.ts";

/**
 * Reads what is needed of each exchange of a file, ends those a killed process left open, removes bodies that belong to none.
 *
 * @returns the highest number so far
 */
export function loadHistory({ file, entries, bodies, onDamaged }: HistoryParts): number {
  const names = new Set<string>();
  const bySeq = new Map<number, Entry>();
  const open: Entry[] = [];
  let lastSeq = 0;
  for (const row of file.rows()) {
    const entry = entries.add(row.id, row.seq);
    entry.requestFile = row.requestFile;
    entry.responseFile = row.responseFile;
    entries.weigh(entry, row.bytes);
    bySeq.set(row.seq, entry);
    lastSeq = row.seq;
    if (row.isOpen) open.push(entry);
    for (const name of [row.requestFile, row.responseFile]) if (name !== undefined) names.add(name);
  }
  for (const counted of file.messageCounts()) {
    const entry = bySeq.get(counted.seq);
    if (entry !== undefined) entries.loadMessages(entry, counted);
  }
  for (const entry of open) {
    const left = readOrTell(file.loadRecord(entry.seq) ?? "", onDamaged);
    if (left === undefined) continue;
    file.end({ ...withCounts(left, entry), outcome: Outcome.Failed, error: "ERR_GGROK_SESSION_LOST" });
  }
  bodies.keepOnly(names);
  return lastSeq;
}

function readOrTell(json: string, onDamaged: () => void): ExchangeRecord | undefined {
  try {
    return parseRecord(json);
  } catch {
    onDamaged();
    return undefined;
  }
}
