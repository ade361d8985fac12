import { createHash } from "node:crypto";
import { existsSync, renameSync } from "node:fs";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { setTimeout } from "node:timers/promises";
import { GgrokError } from "@ggrok/protocol";
import { makePrivateFolder } from "../config/private-folder.ts";
import type { ExchangeStore, StoreQuota } from "./exchange-store.ts";
import { INSPECTOR_LIMITS } from "./limits.ts";
import { MemoryStore } from "./memory-store.ts";
import { HistoryFormatError } from "./sqlite-schema.ts";

/** Where histories and the state of running agents lie, below the state folder. */
const FOLDER = "inspector";
/** How often a file that another process holds is tried again. */
const HELD_RETRY_MS = 20;
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
  readonly quota?: Partial<StoreQuota>;
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
    return { store: new MemoryStore(o.quota), key: first };
  };
  const database = await (o.loadDatabase ?? loadDatabase)();
  if (database === undefined) return inMemory("this Node has no SQLite");
  try {
    makePrivateFolder(inspectorFolder(o.stateDir));
    for (const key of keys) {
      const store = await takeFile(o, database, key);
      if (store === undefined) continue;
      if (key !== first) o.onNotice?.("another agent records in this folder: this one keeps a history of its own");
      return { store, key };
    }
    return inMemory(`${keys.length} other agents record in this folder`);
  } catch (error) {
    return inMemory(error instanceof Error ? error.message : String(error));
  }
}

/** Whose stored history is to be read, and how. */
export interface StoredHistoryOptions extends StorePlace {
  readonly quota?: Partial<StoreQuota>;
  /** How long to wait for a file that another process holds: a command has it for a moment, an agent keeps it. */
  readonly heldMs: number;
  readonly onNotice: (text: string) => void;
}

/** The stored histories of a folder. */
export interface StoredHistory {
  readonly stores: readonly ExchangeStore[];
  /** Files that another process has. */
  readonly held: number;
}

/**
 * Opens the stored histories of a folder that no agent holds, to be read. One that cannot be read stays as it is.
 *
 * @throws GgrokError when none can be read, and what stands in the way of the first
 */
export async function openStoredHistory(o: StoredHistoryOptions): Promise<StoredHistory> {
  const database = await loadDatabase();
  if (database === undefined) return { stores: [], held: 0 };
  const stores: ExchangeStore[] = [];
  const problems: GgrokError[] = [];
  let held = 0;
  const until = performance.now() + o.heldMs;
  for (const key of storeKeys(o.folder)) {
    if (!existsSync(pathOf(o, key))) continue;
    try {
      let store = await openFile(o, database, key);
      while (store === undefined && performance.now() < until) {
        await setTimeout(HELD_RETRY_MS);
        store = await openFile(o, database, key);
      }
      if (store === undefined) held += 1;
      else stores.push(store);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      const message = `the recorded exchanges in ${pathOf(o, key)} cannot be read: ${reason}`;
      problems.push(new GgrokError("ERR_GGROK_HISTORY_UNREADABLE", { message, cause }));
    }
  }
  const [first] = problems;
  if (first !== undefined && stores.length === 0) throw first;
  for (const { message } of problems) o.onNotice(message);
  return { stores, held };
}

/** Opens the file of an agent; one that cannot be used is set aside. @returns undefined when another process holds it */
async function takeFile(
  o: OpenStoreOptions,
  database: typeof DatabaseSync,
  key: string,
): Promise<ExchangeStore | undefined> {
  const path = pathOf(o, key);
  try {
    return await openFile(o, database, key);
  } catch (error) {
    const isOutdated = error instanceof HistoryFormatError && !error.isLater;
    if (!isOutdated && !SQLITE_DAMAGED.has(codeOf(error))) throw error;
    const kind = isOutdated ? "outdated" : "damaged";
    const aside = `${path}.${kind}-${Date.now()}`;
    // The journal belongs to the damaged file: beside a new one it would be played back into it.
    for (const [from, to] of [
      [path, aside],
      [`${path}-wal`, `${aside}-wal`],
      [`${path}-shm`, `${aside}-shm`],
      [path.replace(/\.db$/, ".bodies"), `${aside}.bodies`],
    ] as const) {
      if (existsSync(from)) renameSync(from, to);
    }
    o.onNotice?.(
      isOutdated
        ? `the recorded exchanges of this folder are of an earlier version of ggrok; they are kept as ${aside}`
        : `the recorded exchanges of this folder were damaged; they are kept as ${aside}`,
    );
    return await openFile(o, database, key);
  }
}

/** @returns undefined when another process holds the file */
async function openFile(
  o: Pick<OpenStoreOptions, "stateDir" | "folder" | "quota" | "onNotice">,
  database: typeof DatabaseSync,
  key: string,
): Promise<ExchangeStore | undefined> {
  const path = pathOf(o, key);
  const { SqliteStore } = await import("./sqlite-store.ts");
  try {
    return new SqliteStore({
      database,
      path,
      ...(o.quota !== undefined && { quota: o.quota }),
      onProblem: (problem) => o.onNotice?.(`exchanges are no longer recorded: ${problem}`),
      onDamagedRecord: () =>
        o.onNotice?.("some of the recorded exchanges are damaged: they are left out of lists and exports"),
    });
  } catch (error) {
    if (codeOf(error) === SQLITE_BUSY) return undefined;
    throw error;
  }
}

/** The code of SQLite, without what it adds to it. */
function codeOf(error: unknown): number {
  return error instanceof Error && "errcode" in error ? Number(error.errcode) & 0xff : 0;
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
