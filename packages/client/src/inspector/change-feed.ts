import type { StoreChange } from "./exchange-store.ts";

/** Tells the readers of a store what happened to it. */
export class ChangeFeed {
  readonly #listeners = new Set<(change: StoreChange) => void>();

  /** Nobody builds a change that nobody hears. */
  get isHeard(): boolean {
    return this.#listeners.size > 0;
  }

  subscribe(listener: (change: StoreChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  emit(change: StoreChange): void {
    for (const listener of this.#listeners) listener(change);
  }
}
