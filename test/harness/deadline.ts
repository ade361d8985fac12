/** How long tests wait for what should come at once. */
export const DEADLINE_MS = 10_000;

/** Settles as `promise` does, or fails at the deadline with the words of what was waited for. */
export async function within<T>(what: string, promise: PromiseLike<T>, ms: number = DEADLINE_MS): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms in vain for ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A condition that events change: `notify()` at each event, `until()` waits for it to hold. */
export class Changes {
  readonly #checks = new Set<() => void>();

  notify(): void {
    for (const check of [...this.#checks]) check();
  }

  async until(what: string | (() => string), isTrue: () => boolean, ms: number = DEADLINE_MS): Promise<void> {
    if (isTrue()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const check = (): void => {
      if (isTrue()) resolve();
    };
    this.#checks.add(check);
    try {
      await within("it", promise, ms);
    } catch {
      throw new Error(`waited ${ms} ms in vain for ${typeof what === "string" ? what : what()}`);
    } finally {
      this.#checks.delete(check);
    }
  }
}

/** Looks again every few milliseconds, for things that send no event (memory, open files). */
export async function eventually(what: () => string, isTrue: () => boolean, ms: number = DEADLINE_MS): Promise<void> {
  const changes = new Changes();
  const timer = setInterval(() => changes.notify(), 20);
  try {
    await changes.until(what, isTrue, ms);
  } finally {
    clearInterval(timer);
  }
}

/** Calls `tick` `perSecond` times a second until the signal aborts; late ticks are made up for. Resolves with their number. */
export function pace(perSecond: number, signal: AbortSignal, tick: (index: number) => void): Promise<number> {
  const startedAt = performance.now();
  let index = 0;
  return new Promise((resolve) => {
    const timer = setInterval(
      () => {
        const due = Math.floor(((performance.now() - startedAt) / 1_000) * perSecond);
        while (index < due && !signal.aborted) tick(index++);
      },
      Math.max(5, 500 / perSecond),
    );
    const stop = (): void => {
      clearInterval(timer);
      resolve(index);
    };
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}
