import { createHash } from "node:crypto";
import { existsSync, mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import type { ExchangeStore, StoreQuota } from "./exchange-store.ts";
import { INSPECTOR_LIMITS } from "./limits.ts";
import { MemoryStore } from "./memory-store.ts";

/** Where histories and the state of running agents lie, below the state folder. */
const FOLDER = "inspector";
/** SQLite's code for a file that another process holds. */
const SQLITE_BUSY = 5;
/** SQLite's codes for a file that is damaged, or no database. */
const SQLITE_DAMAGED: ReadonlySet<number> = new Set([11, 26]);

/** Where the history of a project folder is to be kept. */
export interface StorePlace {
  readonly stateDir: string;
  /** The project folder under its real name. */
  readonly folder: string;
}

/** A store, and under which name it stands. */
export interface OpenedStore {
  readonly store: ExchangeStore;
  /** Name of the files of this history, without ending: one for each folder, and each agent that runs in it. */
  readonly key: string;
}

/** What to do with the store that is opened. */
export interface OpenStoreOptions extends StorePlace {
  readonly quota?: StoreQuota;
  /** Hears in one line what the user should know: where the history is when it is not where one expects it, or why it ends. */
  readonly onNotice?: (text: string) => void;
  /** How to get SQLite; a test says that there is none. */
  readonly loadDatabase?: () => Promise<typeof DatabaseSync | undefined>;
}

/** The folder of histories. */
export function inspectorFolder(stateDir: string): string {
  return join(stateDir, FOLDER);
}

/** Names of the histories of a folder, the first agent's first. */
export function storeKeys(folder: string): string[] {
  const key = createHash("sha256").update(folder).digest("hex").slice(0, 16);
  return Array.from({ length: INSPECTOR_LIMITS.STORES_PER_FOLDER_MAX }, (_, i) => (i === 0 ? key : `${key}-${i + 1}`));
}

/**
 * Opens the history of a folder for an agent. Each agent that runs at the same time has a file of its own; a damaged one is set
 * aside, never overwritten; where no file can be had the history is in memory, which the notice says.
 */
export async function openStore(o: OpenStoreOptions): Promise<OpenedStore> {
  const keys = storeKeys(o.folder);
  const [first = ""] = keys;
  const inMemory = (reason: string): OpenedStore => {
    o.onNotice?.(`exchanges are recorded in memory only: ${reason}`);
    return { store: new MemoryStore(), key: first };
  };
  const database = await (o.loadDatabase ?? loadDatabase)();
  if (database === undefined) return inMemory("this Node has no SQLite");
  try {
    mkdirSync(inspectorFolder(o.stateDir), { recursive: true, mode: 0o700 });
    for (const key of keys) {
      const store = await openFile(o, database, key);
      if (store === undefined) continue;
      if (key !== first) o.onNotice?.("another agent records in this folder: this one keeps a history of its own");
      return { store, key };
    }
    return inMemory(`${keys.length} other agents record in this folder`);
  } catch (error) {
    return inMemory(error instanceof Error ? error.message : String(error));
  }
}

/** Opens the stored histories of a folder that no agent holds, to be read. */
export async function openStoredHistory(place: StorePlace): Promise<ExchangeStore[]> {
  const database = await loadDatabase();
  if (database === undefined) return [];
  const stores: ExchangeStore[] = [];
  for (const key of storeKeys(place.folder)) {
    if (!existsSync(pathOf(place, key))) continue;
    const store = await openFile(place, database, key);
    if (store !== undefined) stores.push(store);
  }
  return stores;
}

/** @returns undefined when another process holds the file */
async function openFile(
  o: OpenStoreOptions,
  database: typeof DatabaseSync,
  key: string,
): Promise<ExchangeStore | undefined> {
  const path = pathOf(o, key);
  const { SqliteStore } = await import("./sqlite-store.ts");
  const open = (): ExchangeStore =>
    new SqliteStore({
      database,
      path,
      ...(o.quota !== undefined && { quota: o.quota }),
      onProblem: (problem) => o.onNotice?.(`exchanges are no longer recorded: ${problem}`),
    });
  try {
    return open();
  } catch (error) {
    const code = error instanceof Error && "errcode" in error ? Number(error.errcode) & 0xff : 0;
    if (code === SQLITE_BUSY) return undefined;
    if (!SQLITE_DAMAGED.has(code)) throw error;
    const aside = `${path}.damaged-${Date.now()}`;
    // The journal belongs to the damaged file: beside a new one it would be played back into it.
    for (const [from, to] of [
      [path, aside],
      [`${path}-wal`, `${aside}-wal`],
      [`${path}-shm`, `${aside}-shm`],
      [path.replace(/\.db$/, ".bodies"), `${aside}.bodies`],
    ] as const) {
      if (existsSync(from)) renameSync(from, to);
    }
    o.onNotice?.(`the recorded exchanges of this folder were damaged; they are kept as ${aside}`);
    return open();
  }
}

function pathOf(place: StorePlace, key: string): string {
  return join(inspectorFolder(place.stateDir), `${key}.db`);
}

/** SQLite of this Node, where it has one; without the warning that Node 22 prints about it. */
async function loadDatabase(): Promise<typeof DatabaseSync | undefined> {
  const { emitWarning } = process;
  process.emitWarning = (() => {}) as typeof process.emitWarning;
  try {
    return (await import("node:sqlite")).DatabaseSync;
  } catch {
    return undefined;
  } finally {
    process.emitWarning = emitWarning;
  }
}
