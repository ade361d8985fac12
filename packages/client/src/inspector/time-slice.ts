import { setImmediate } from "node:timers/promises";

/** How long work for the page may keep the tunnels waiting at a time. */
const SLICE_MS = 5;

/** Cuts long work on the main thread, so that exchanges pass in between. */
export class TimeSlice {
  #began = performance.now();

  get isOver(): boolean {
    return performance.now() - this.#began > SLICE_MS;
  }

  /** Lets everything else have its turn. */
  async next(): Promise<void> {
    await setImmediate();
    this.#began = performance.now();
  }
}
