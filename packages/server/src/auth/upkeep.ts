import { RELAY_LIMITS } from "../limits.ts";
import type { Logger } from "../observability/logger.ts";
import type { Registry } from "../registry/registry.ts";
import type { Reservations } from "../registry/reservations.ts";
import type { Store } from "../store/store.ts";
import type { TokenBook } from "./token-book.ts";

/** What {@link Upkeep} looks after. */
export interface UpkeepDeps {
  readonly store: Store;
  readonly tokens: TokenBook;
  readonly registry: Registry;
  readonly reservations: Reservations;
  readonly logger: Logger;
}

/** Keeps the relay and its store in step: notices what others have written, and writes down what was used. */
export class Upkeep {
  readonly #deps: UpkeepDeps;
  #check: NodeJS.Timeout | undefined;
  #upkeep: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(deps: UpkeepDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.#check = setInterval(() => this.#try(() => this.#deps.tokens.refresh()), RELAY_LIMITS.storeCheckMs).unref();
    this.#upkeep = setInterval(() => this.write(), RELAY_LIMITS.storeUpkeepMs).unref();
  }

  /** Writes down what was used since the last time. */
  write(): void {
    this.#try(() => this.#write());
  }

  /** Closes the store. Idempotent. */
  close(): void {
    clearInterval(this.#check);
    clearInterval(this.#upkeep);
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#deps.store.close();
  }

  #write(): void {
    const { store, tokens, registry, reservations } = this.#deps;
    tokens.flushUses();
    reservations.touch(registry.usedPlaces);
    store.prune(Date.now(), RELAY_LIMITS.maxGeneratedNames);
  }

  /** A full disk or a locked database is no reason to end: what is known goes on, and the next try may work. */
  #try(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#deps.logger.error({ err: error }, "the store failed");
    }
  }
}
