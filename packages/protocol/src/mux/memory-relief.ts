import { ResetCode } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import { type MemoryBudget, MemoryLevel } from "./memory-budget.ts";
import type { StreamReset } from "./mux-stream.ts";
import type { Stream } from "./stream.ts";

/** Least time between two rounds of resets, in milliseconds: what the first one freed has to show. */
const RESETS_APART_MS = 1_000;

/**
 * What a session does about memory that is used up: streams whose credit was held back get it when there is room again, and
 * the worst of the readers that take nothing are reset when there is none.
 */
export class MemoryRelief {
  readonly #budget: MemoryBudget;
  readonly #streams: () => Stream[];
  #starved: Set<Stream> | undefined;
  #resetAt = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param streams all that are open */
  constructor(budget: MemoryBudget, streams: () => Stream[]) {
    this.#budget = budget;
    this.#streams = streams;
  }

  /** The stream was given less credit than it could use. */
  starve(stream: Stream): void {
    this.#starved ??= new Set();
    this.#starved.add(stream);
    this.#watch();
  }

  /** The stream has ended. */
  forget(stream: Stream): void {
    if (this.#starved?.delete(stream) === true && this.#starved.size === 0) this.#starved = undefined;
  }

  /** Whether a stream waits for credit. */
  get isWanted(): boolean {
    return this.#starved !== undefined;
  }

  /** Looks at the memory: with each message while it {@link isWanted}, and now and then, since others may want it. */
  check(now: number): void {
    const { level } = this.#budget;
    if (level < MemoryLevel.Low) {
      const streams = this.#starved;
      this.#starved = undefined;
      for (const stream of streams ?? []) stream.regrant();
    } else if (level === MemoryLevel.Full && now - this.#resetAt >= RESETS_APART_MS) {
      this.#resetAt = now;
      this.#resetStalled(now);
    }
  }

  /** Where every stream is held back nothing arrives that would have the memory looked at. */
  #watch(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.check(performance.now());
      if (this.isWanted) this.#watch();
    }, LIMITS.STARVED_CHECK_MS);
    this.#timer.unref();
  }

  #resetStalled(now: number): void {
    const stalled = this.#streams()
      .filter((stream) => stream.heldBytes > 0 && now - stream.consumedAt > LIMITS.STALLED_READER_MS)
      .sort((a, b) => b.heldBytes - a.heldBytes);
    for (const stream of stalled) {
      if (this.#budget.level < MemoryLevel.Low) return;
      const reset: StreamReset = {
        code: ResetCode.Overload,
        notProcessed: false,
        message: "the reader took nothing while memory was short",
        local: true,
      };
      const { handler } = stream;
      stream.reset(ResetCode.Overload, { message: reset.message });
      handler.onReset(reset);
    }
  }
}
