import { FrameType } from "../wire/frame.ts";
import type { MemoryBudget } from "./memory-budget.ts";
import type { MemoryRelief } from "./memory-relief.ts";
import type { Outbox } from "./outbox.ts";
import type { RoundTrip } from "./round-trip.ts";
import type { Stream, StreamLink } from "./stream.ts";

/** What a session gives its streams. A class, since an object of closures costs 1.5 KiB in every idle session. */
export class SessionLink implements StreamLink {
  readonly budget: MemoryBudget;
  readonly #outbox: Outbox;
  readonly #roundTrip: RoundTrip;
  readonly #relief: MemoryRelief;
  readonly #onClosed: (stream: Stream) => void;

  constructor(o: {
    budget: MemoryBudget;
    outbox: Outbox;
    roundTrip: RoundTrip;
    relief: MemoryRelief;
    onClosed: (stream: Stream) => void;
  }) {
    this.budget = o.budget;
    this.#outbox = o.outbox;
    this.#roundTrip = o.roundTrip;
    this.#relief = o.relief;
    this.#onClosed = o.onClosed;
  }

  get shortestRttMs(): number {
    return this.#roundTrip.shortestMs;
  }

  now(): number {
    return performance.now();
  }

  sendFrame(stream: Stream, type: FrameType, flags: number, payload: Buffer | undefined): void {
    this.#outbox.sendFrame(stream, type, flags, payload);
  }

  sendHead(stream: Stream, flags: number, text: string): void {
    this.#outbox.sendHead(stream, FrameType.Head, flags, text);
  }

  sendNow(stream: Stream, chunk: Buffer): boolean {
    return this.#outbox.sendNow(stream, chunk);
  }

  sendFin(stream: Stream): void {
    this.#outbox.sendFin(stream);
  }

  schedule(stream: Stream): void {
    this.#outbox.schedule(stream);
  }

  sendEarly(): void {
    this.#outbox.sendEarly();
  }

  scheduleWindow(stream: Stream): void {
    this.#outbox.scheduleWindow(stream);
  }

  underPressure(stream: Stream): void {
    this.#relief.starve(stream);
  }

  closed(stream: Stream): void {
    this.#relief.forget(stream);
    this.#onClosed(stream);
  }

  isOpenWritten(serial: number): boolean {
    return this.#outbox.isWritten(serial);
  }
}
