/** Notices that nothing moved for a while. Its owner decides what that means. */
export class IdleTimer {
  readonly #timer: NodeJS.Timeout;

  /** Starts at once; `onIdle` is called after each `timeoutMs` without {@link touch}. */
  constructor(timeoutMs: number, onIdle: () => void) {
    this.#timer = setInterval(onIdle, timeoutMs);
  }

  /** Something moved. */
  touch(): void {
    this.#timer.refresh();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
