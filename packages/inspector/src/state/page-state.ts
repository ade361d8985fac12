import { batch, computed, effect, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import type { Edit } from "../core/edit.ts";
import type { Summary } from "../core/exchange.ts";
import { isFiltering, toQuery } from "../core/filter.ts";
import { plural } from "../core/format.ts";
import { Api, type CopyForm } from "./api.ts";
import { copyToClipboard, saveFrom } from "./browser.ts";
import { History } from "./history.ts";
import { Live } from "./live.ts";

/** What lies over the page. */
export type Dialog =
  | { readonly kind: "help" }
  | { readonly kind: "qr"; readonly url: string }
  | { readonly kind: "edit"; readonly id: string }
  | { readonly kind: "clear" };

/** A line that says what has happened, for a while. */
export interface Notice {
  readonly text: string;
  readonly isError: boolean;
}

/** How long a notice stays. */
const NOTICE_MS = 6_000;
/** Ids that fit into the address of an export; with more, the filter has to say which. */
const EXPORT_IDS_MAX = 400;

/** Everything the page knows. Made once, handed to the views. */
export class PageState {
  readonly api: Api;
  readonly history: History;
  readonly live: Live;
  readonly selectedId: Signal<string | undefined> = signal(undefined);
  readonly selected: ReadonlySignal<Summary | undefined>;
  readonly marks: Signal<ReadonlySet<string>> = signal(new Set<string>());
  readonly dialog: Signal<Dialog | undefined> = signal(undefined);
  readonly notice: Signal<Notice | undefined> = signal(undefined);
  /** Counts messages that came for the selected exchange. */
  readonly messageTick: Signal<number> = signal(0);
  #noticeTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(token: string) {
    this.api = new Api(token);
    this.history = new History(this.api);
    this.selected = computed(() => {
      const id = this.selectedId.value;
      return id === undefined ? undefined : this.history.rows.value.find((row) => row.id === id);
    });
    this.live = new Live({
      onFollowing: () => void this.history.catchUp(),
      onExchanges: (changes) => this.history.merge(changes),
      onMessages: (id, lastN) => {
        this.history.countMessages(id, lastN);
        if (id === this.selectedId.peek()) this.messageTick.value += 1;
      },
      onRemoved: (id) => this.#forget(id),
      onCleared: () => void this.history.reload(),
    });
  }

  /** Begins to follow the agent. */
  start(): void {
    this.selectedId.value = readHash();
    globalThis.addEventListener("hashchange", () => {
      this.selectedId.value = readHash();
    });
    effect(() => {
      const id = this.selectedId.value;
      if (id !== readHash()) history.replaceState(null, "", id === undefined ? "#" : `#${encodeURIComponent(id)}`);
    });
    this.live.follow();
  }

  select(id: string | undefined): void {
    this.selectedId.value = id;
  }

  /** Selects another one of those that are shown. */
  move(step: "next" | "previous" | "first" | "last"): void {
    const rows = this.history.visible.value;
    const at = rows.findIndex((row) => row.id === this.selectedId.value);
    const index = { first: 0, last: rows.length - 1, next: at + 1, previous: at === -1 ? 0 : at - 1 }[step];
    const row = rows[Math.max(0, Math.min(rows.length - 1, index))];
    if (row !== undefined) this.select(row.id);
  }

  toggleMark(id: string): void {
    const marks = new Set(this.marks.value);
    if (!marks.delete(id)) marks.add(id);
    this.marks.value = marks;
  }

  clearMarks(): void {
    this.marks.value = new Set();
  }

  say(text: string, isError = false): void {
    clearTimeout(this.#noticeTimer);
    this.notice.value = { text, isError };
    this.#noticeTimer = setTimeout(() => {
      this.notice.value = undefined;
    }, NOTICE_MS);
  }

  /** Does something that may fail, and says so when it does. @returns whether it went well */
  async attempt(action: () => Promise<void>): Promise<boolean> {
    try {
      await action();
      return true;
    } catch (error) {
      this.say(error instanceof Error ? error.message : String(error), true);
      return false;
    }
  }

  /** Sends a request again and goes to what came back. */
  replay(call: { id: string; edit?: Edit; times?: number; resign?: boolean }): Promise<boolean> {
    return this.attempt(async () => {
      const replays = await this.api.replay(call);
      const [first] = replays;
      if (first?.id !== undefined) this.select(first.id);
      const failed = replays.filter(({ error }) => error !== undefined);
      if (failed.length > 0) {
        const which = replays.length === 1 ? "Replayed" : `Replayed ${replays.length} times, ${failed.length} of them`;
        this.say(`${which} without an answer: ${failed[0]?.msg ?? failed[0]?.error ?? ""}`, true);
      } else if (replays.length === 1) this.say(`Replayed: ${first?.status_code ?? "no answer"}`);
      else this.say(`Replayed ${replays.length} times`);
    });
  }

  copyAs(id: string, form: CopyForm): Promise<boolean> {
    return this.attempt(async () => {
      await copyToClipboard(await this.api.copyText(id, form));
      this.say(`Copied as ${form === "httpie" ? "HTTPie" : form}`);
    });
  }

  copy(text: string, what: string): Promise<boolean> {
    return this.attempt(async () => {
      await copyToClipboard(text);
      this.say(`Copied ${what}`);
    });
  }

  /** Saves the marked exchanges, or those that are shown, as one HAR. */
  exportHar(): void {
    const marked = [...this.marks.value];
    if (marked.length > EXPORT_IDS_MAX) {
      this.say(`More than ${EXPORT_IDS_MAX} are marked: export what a filter shows instead`, true);
      return;
    }
    const { filter } = this.history;
    const path =
      marked.length > 0
        ? this.api.harPath(marked)
        : this.api.harPath(isFiltering(filter.value) ? toQuery(filter.value) : new URLSearchParams());
    saveFrom(path, "ggrok.har");
  }

  importHar(file: Blob): Promise<boolean> {
    return this.attempt(async () => {
      const { imported, skipped } = await this.api.importHar(file);
      const why = skipped[0] === undefined ? "" : `, ${skipped.length} left out: ${skipped[0].reason}`;
      this.say(`Imported ${plural(imported, "exchange")}${why}`, imported === 0);
    });
  }

  deleteOne(id: string): Promise<boolean> {
    return this.attempt(async () => {
      await this.api.delete(id);
      this.#forget(id);
    });
  }

  clear(): Promise<boolean> {
    return this.attempt(async () => {
      await this.api.clear();
      await this.history.reload();
    });
  }

  #forget(id: string): void {
    batch(() => {
      if (this.selectedId.value === id) this.selectedId.value = undefined;
      if (this.marks.value.has(id)) this.toggleMark(id);
      this.history.remove(id);
    });
  }
}

function readHash(): string | undefined {
  try {
    return decodeURIComponent(location.hash.slice(1)) || undefined;
  } catch {
    return undefined;
  }
}
