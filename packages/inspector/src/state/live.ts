import { type Signal, signal } from "@preact/signals";
import type { AgentStatus, StoreStats, Summary } from "../core/exchange.ts";

/** Whether what is shown is up to date. */
export type Connection = "connecting" | "live" | "lost";

/** Who hears of what happens. */
export interface LiveListener {
  /** From now on everything is told. Comes again after an interruption. */
  onFollowing(): void;
  onExchanges(changes: readonly Summary[]): void;
  /** @param lastN number of the newest message */
  onMessages(id: string, lastN: number): void;
  onRemoved(id: string): void;
  /** Everything went, or more was missed than can be told. */
  onCleared(): void;
}

/** Follows the agent's events; the browser connects again by itself and says where it was. */
export class Live {
  readonly connection: Signal<Connection> = signal("connecting");
  readonly status: Signal<AgentStatus | undefined> = signal(undefined);
  readonly stats: Signal<StoreStats | undefined> = signal(undefined);
  readonly #listener: LiveListener;
  #waiting: Summary[] = [];

  constructor(listener: LiveListener) {
    this.#listener = listener;
  }

  /** Begins; lasts as long as the page. */
  follow(): void {
    const source = new EventSource("/api/events");
    const hear = (name: string, take: (data: unknown) => void): void => {
      source.addEventListener(name, (event: MessageEvent<string>) => take(JSON.parse(event.data)));
    };
    source.addEventListener("open", () => {
      this.connection.value = "live";
      this.#listener.onFollowing();
    });
    source.addEventListener("error", () => {
      // Also a page that is told nothing has its list.
      if (this.connection.value === "connecting") this.#listener.onFollowing();
      this.connection.value = "lost";
    });
    hear("status", (data) => {
      this.status.value = data as AgentStatus;
    });
    hear("stats", (data) => {
      this.stats.value = data as StoreStats;
    });
    hear("exchange", (data) => this.#gather(data as Summary));
    hear("message", (data) => {
      const { id, n } = data as { id: string; n: number };
      this.#flush();
      this.#listener.onMessages(id, n);
    });
    hear("removed", (data) => {
      this.#flush();
      this.#listener.onRemoved((data as { id: string }).id);
    });
    hear("cleared", () => {
      this.#waiting = [];
      this.#listener.onCleared();
    });
  }

  /** Everything that comes in one turn is drawn at once. */
  #gather(change: Summary): void {
    if (this.#waiting.length === 0) setTimeout(() => this.#flush());
    this.#waiting.push(change);
  }

  #flush(): void {
    if (this.#waiting.length === 0) return;
    this.#listener.onExchanges(this.#waiting.splice(0));
  }
}
