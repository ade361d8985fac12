/** Notices that nothing moved for a while. Its owner decides what that means. */
export class IdleTimer {
  readonly #timer: NodeJS.Timeout;
  #verdict: NodeJS.Immediate | undefined;

  /** Starts at once; `onIdle` is called after each `timeoutMs` without {@link touch}. */
  constructor(timeoutMs: number, onIdle: () => void) {
    this.#timer = setInterval(() => {
      // A process that was held up finds its timers due before it has read what came meanwhile: read first, then judge.
      this.#verdict = setImmediate(onIdle);
    }, timeoutMs);
  }

  /** Something moved. */
  touch(): void {
    this.#timer.refresh();
    this.#withdraw();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#withdraw();
  }

  #withdraw(): void {
    if (this.#verdict === undefined) return;
    clearImmediate(this.#verdict);
    this.#verdict = undefined;
  }
}
