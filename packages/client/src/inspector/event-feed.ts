import type { ServerResponse } from "node:http";
import { summarize } from "./api-shapes.ts";
import type { ExchangeRecord } from "./exchange-record.ts";
import type { ExchangeStore, StoreChange } from "./exchange-store.ts";
import { INSPECTOR_LIMITS } from "./limits.ts";

/** How long changes are gathered before they go out in one write. */
const GATHER_MS = 50;
/** How often is looked whether status or figures have changed, and a comment sent where nothing else was. */
const LOOK_MS = 1_000;
const QUIET_MS = 15_000;

/** What the events tell beside exchanges. */
export interface EventSource {
  readonly store: ExchangeStore | undefined;
  /** Object of the `status` event. */
  status(): unknown;
  /** Object of the `stats` event. */
  stats(): unknown;
}

/** Sends what happens to the pages that follow `/api/events`. Costs nothing while nobody does. */
export class EventFeed {
  readonly #source: EventSource;
  readonly #readers = new Set<Reader>();
  /** The latest of each exchange since the last write. */
  readonly #records = new Map<string, ExchangeRecord>();
  readonly #others: string[] = [];
  readonly #messages = new Map<string, number>();
  #stop: (() => void) | undefined;
  #gathering: NodeJS.Timeout | undefined;
  #looking: NodeJS.Timeout | undefined;
  #status = "";
  #stats = "";

  constructor(source: EventSource) {
    this.#source = source;
  }

  /** Whether one more page may follow. */
  get hasRoom(): boolean {
    return this.#readers.size < INSPECTOR_LIMITS.EVENT_READERS_MAX;
  }

  /**
   * Adds a page.
   *
   * @param afterSeq what it has seen already; what came since is sent first
   */
  add(response: ServerResponse, afterSeq: number | undefined): void {
    const reader = new Reader(response);
    if (this.#readers.size === 0) this.#start();
    this.#send();
    this.#readers.add(reader);
    response.on("close", () => {
      this.#readers.delete(reader);
      if (this.#readers.size === 0) this.#end();
    });
    void this.#greet(reader, afterSeq).catch(() => response.destroy());
  }

  close(): void {
    for (const reader of this.#readers) reader.end();
    this.#end();
  }

  async #greet(reader: Reader, afterSeq: number | undefined): Promise<void> {
    const { store } = this.#source;
    let hello = `retry: 1000\n\n${formatEvent("status", this.#source.status())}${formatEvent("stats", this.#source.stats())}`;
    if (store !== undefined && afterSeq !== undefined) {
      const missed = await store.list({ afterSeq, limit: INSPECTOR_LIMITS.LIST_MAX });
      // More than one answer holds: the page has to ask for its list again.
      if (missed.length === INSPECTOR_LIMITS.LIST_MAX) hello += formatEvent("cleared", {});
      else for (const record of missed) hello += reader.format(record);
    }
    reader.begin(hello);
  }

  #start(): void {
    this.#stop = this.#source.store?.subscribe((change) => this.#gather(change));
    this.#status = JSON.stringify(this.#source.status());
    this.#stats = JSON.stringify(this.#source.stats());
    this.#looking = setInterval(() => this.#look(), LOOK_MS);
    this.#looking.unref();
  }

  #end(): void {
    this.#stop?.();
    this.#stop = undefined;
    clearInterval(this.#looking);
    clearTimeout(this.#gathering);
    this.#gathering = undefined;
  }

  #gather(change: StoreChange): void {
    if (change.kind === "exchange") this.#records.set(change.record.id, change.record);
    else if (change.kind === "messages") this.#messages.set(change.id, change.lastN);
    else if (change.kind === "removed") {
      this.#records.delete(change.id);
      this.#others.push(formatEvent("removed", { id: change.id }));
    } else if (change.kind === "cleared") {
      this.#records.clear();
      this.#others.push(formatEvent("cleared", {}));
    } else return;
    this.#gathering ??= setTimeout(() => this.#send(), GATHER_MS);
  }

  #send(): void {
    clearTimeout(this.#gathering);
    this.#gathering = undefined;
    // What goes, goes first: another exchange may have its id already.
    const before = this.#others.splice(0).join("");
    let after = "";
    for (const [id, n] of this.#messages) after += formatEvent("message", { id, n });
    const records = [...this.#records.values()];
    this.#records.clear();
    this.#messages.clear();
    for (const reader of this.#readers) {
      let text = before;
      for (const record of records) text += reader.format(record);
      reader.write(text + after);
    }
  }

  #look(): void {
    const status = JSON.stringify(this.#source.status());
    const stats = JSON.stringify(this.#source.stats());
    let text = "";
    if (status !== this.#status) text += formatEvent("status", this.#source.status());
    if (stats !== this.#stats) text += formatEvent("stats", this.#source.stats());
    this.#status = status;
    this.#stats = stats;
    for (const reader of this.#readers) reader.keep(text);
  }
}

/** One page that follows. */
class Reader {
  readonly #response: ServerResponse;
  #lastSeq = 0;
  #wroteAt = performance.now();
  /** What happened before the greeting was there; undefined: it has been sent. */
  #held: string | undefined = "";

  constructor(response: ServerResponse) {
    this.#response = response;
    response.on("error", () => {});
  }

  /** An exchange that was changed later keeps its number: only a higher one moves the page's place forward. */
  format(record: ExchangeRecord): string {
    const isNew = record.seq > this.#lastSeq;
    if (isNew) this.#lastSeq = record.seq;
    return `${isNew ? `id: ${record.seq}\n` : ""}${formatEvent("exchange", summarize(record))}`;
  }

  /** Sends the greeting, then what has happened meanwhile. */
  begin(hello: string): void {
    const text = hello + (this.#held ?? "");
    this.#held = undefined;
    this.write(text);
  }

  keep(text: string): void {
    if (text !== "") this.write(text);
    else if (performance.now() - this.#wroteAt > QUIET_MS) this.write(": quiet\n\n");
  }

  write(text: string): void {
    if (text === "") return;
    if (this.#held !== undefined) {
      this.#held += text;
      return;
    }
    this.#wroteAt = performance.now();
    this.#response.write(text);
    // It comes again with the last number it has seen.
    if (this.#response.writableLength > INSPECTOR_LIMITS.EVENT_BACKLOG_BYTES_MAX) this.#response.destroy();
  }

  end(): void {
    this.#response.end();
  }
}

function formatEvent(name: string, value: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(value)}\n\n`;
}
