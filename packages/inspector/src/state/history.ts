import { batch, computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import type { Summary } from "../core/exchange.ts";
import { createMatcher, type Filter, isFiltering, NO_FILTER, toQuery } from "../core/filter.ts";
import { mergeRows, removeRow } from "../core/rows.ts";
import type { Api } from "./api.ts";

/** Rows one answer of the list has. */
const PAGE_ROWS = 1_000;
/** How long typing has to rest before the agent is asked. */
const TYPING_MS = 200;

/** The recorded exchanges and what of them is shown. */
export class History {
  readonly filter: Signal<Filter> = signal(NO_FILTER);
  readonly rows: Signal<readonly Summary[]> = signal([]);
  readonly visible: ReadonlySignal<readonly Summary[]>;
  readonly isLoading: Signal<boolean> = signal(true);
  readonly problem: Signal<string> = signal("");
  readonly tunnels: ReadonlySignal<readonly string[]>;
  readonly #api: Api;
  readonly #hits: Signal<ReadonlySet<string>> = signal(new Set<string>());
  #looking: AbortController | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #loading = 0;

  constructor(api: Api) {
    this.#api = api;
    this.visible = computed(() => {
      const filter = this.filter.value;
      return isFiltering(filter) ? this.rows.value.filter(createMatcher(filter, this.#hits.value)) : this.rows.value;
    });
    this.tunnels = computed(() => [...new Set(this.rows.value.map((row) => row.tunnel_name))].sort());
  }

  /** Asks for what nobody has told: all that is newer than what is here, and how those went on that were open. */
  async catchUp(): Promise<void> {
    const rows = this.rows.value;
    const oldestOpen = rows.findLast(({ outcome }) => outcome === "open");
    await this.#load(Math.min(rows[0]?.seq ?? 0, oldestOpen?.seq ?? Number.POSITIVE_INFINITY));
  }

  /** Asks for everything down to a number, newest first. What comes by events meanwhile is kept. */
  async #load(downTo: number): Promise<void> {
    this.#loading += 1;
    const round = this.#loading;
    this.isLoading.value = true;
    const gone = new Set(this.rows.value.map(({ id }) => id));
    try {
      const query = new URLSearchParams({ limit: String(PAGE_ROWS) });
      for (;;) {
        const { requests } = await this.#api.list(query);
        if (round !== this.#loading) return;
        this.merge(requests);
        for (const { id } of requests) gone.delete(id);
        const last = requests.at(-1);
        const reached = last === undefined || requests.length < PAGE_ROWS ? 0 : last.seq;
        if (reached <= downTo) {
          this.rows.value = this.rows.value.filter(({ id, seq }) => seq < reached || !gone.has(id));
          break;
        }
        query.set("before", String(reached));
      }
      this.problem.value = "";
    } catch (error) {
      this.problem.value = String(error instanceof Error ? error.message : error);
    } finally {
      if (round === this.#loading) this.isLoading.value = false;
    }
  }

  /** Takes new and changed exchanges in. */
  merge(changes: readonly Summary[]): void {
    this.rows.value = mergeRows(this.rows.value, changes);
    if (this.filter.value.text !== "") this.#lookUpSoon();
  }

  /** An open exchange has more messages. */
  countMessages(id: string, lastN: number): void {
    const row = this.rows.value.find((one) => one.id === id);
    if (row !== undefined) this.merge([{ ...row, messages: Math.max(row.messages, lastN - row.messages_dropped) }]);
  }

  remove(id: string): void {
    this.rows.value = removeRow(this.rows.value, id);
  }

  /** Forgets everything and asks again: what was there may be gone. */
  async reload(): Promise<void> {
    this.rows.value = [];
    await this.#load(0);
  }

  setFilter(part: Partial<Filter>): void {
    batch(() => {
      this.filter.value = { ...this.filter.value, ...part };
      if (part.text !== undefined) this.#hits.value = new Set();
    });
    if (this.filter.value.text !== "") this.#lookUpSoon();
  }

  /** The list has no header fields: the agent looks there. */
  #lookUpSoon(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#lookUp(), TYPING_MS);
  }

  async #lookUp(): Promise<void> {
    this.#looking?.abort();
    const looking = new AbortController();
    this.#looking = looking;
    const filter = this.filter.value;
    if (filter.text === "") return;
    const query = toQuery({ ...NO_FILTER, text: filter.text });
    query.set("limit", String(PAGE_ROWS));
    const hits = new Set<string>();
    try {
      for (;;) {
        const { requests } = await this.#api.list(query, looking.signal);
        for (const { id } of requests) hits.add(id);
        const last = requests.at(-1);
        if (last === undefined || requests.length < PAGE_ROWS) break;
        query.set("before", String(last.seq));
      }
      this.#hits.value = hits;
    } catch {
      // Another text was typed meanwhile, or the agent is gone, which the header says.
    }
  }
}
