import { z } from "zod";
import { readState, writeState } from "../config/state-file.ts";

const NAMES_FILE = "chosen-names.json";
const entrySchema = z.object({ url: z.string(), target: z.string(), pid: z.int() });
const namesSchema = z.record(z.string(), z.array(entrySchema));
type Entry = z.infer<typeof entrySchema>;

/** Where a name is remembered: for one relay, in one folder. */
export interface NamePlace {
  readonly stateDir: string;
  readonly relayOrigin: string;
  readonly folder: string;
}

/**
 * The URL this folder had at this relay last time, when nobody asks for a name. A second agent in the same folder that
 * serves another target gets a name of its own instead of pushing the first one out.
 */
export function recallName(
  place: NamePlace,
  target: string,
  isAlive: (pid: number) => boolean = isProcessAlive,
): string | undefined {
  const entries = load(place.stateDir)[key(place)] ?? [];
  const own = entries.find((entry) => entry.target === target && entry.pid !== process.pid);
  return (own ?? entries.find((entry) => !isAlive(entry.pid)))?.url;
}

/** The URL that was remembered under exactly this word, and no other's. */
export function recallOwnName(place: NamePlace, memory: string): string | undefined {
  const entries = load(place.stateDir)[key(place)] ?? [];
  return entries.find((entry) => entry.target === memory)?.url;
}

/** Keeps the URL the relay gave, for the next start. */
export function rememberName(place: NamePlace, target: string, url: string, pid: number = process.pid): void {
  const names = load(place.stateDir);
  const others = (names[key(place)] ?? []).filter((entry) => entry.url !== url && entry.target !== target);
  const entry: Entry = { url, target, pid };
  writeState(place.stateDir, NAMES_FILE, { ...names, [key(place)]: [entry, ...others] });
}

/** Says that nobody in this process uses the name any more; it stays remembered. */
export function releaseName(place: NamePlace, target: string): void {
  const names = load(place.stateDir);
  const entries = names[key(place)] ?? [];
  if (!entries.some((entry) => entry.target === target && entry.pid === process.pid)) return;
  const released = entries.map((entry) =>
    entry.target === target && entry.pid === process.pid ? { ...entry, pid: 0 } : entry,
  );
  writeState(place.stateDir, NAMES_FILE, { ...names, [key(place)]: released });
}

function load(stateDir: string): Record<string, Entry[]> {
  const parsed = namesSchema.safeParse(readState(stateDir, NAMES_FILE));
  return parsed.success ? parsed.data : {};
}

function key(place: NamePlace): string {
  return `${place.relayOrigin} ${place.folder}`;
}

function isProcessAlive(pid: number): boolean {
  if (pid === 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives and belongs to someone else.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
