import type { EventMap, EventName } from "../types.ts";

/** One event as it goes out with `--json`: its name is the first key. */
export type AgentEvent = { [E in EventName]: { event: E } & EventMap[E] }[EventName];

/** A listener for one kind of event. */
export type EventListener<E extends EventName> = (fields: EventMap[E]) => void;

/** Typed events without a base class; a listener that throws disturbs neither the agent nor the others. */
export class EventHub {
  readonly #listeners = new Map<EventName, Set<(fields: never) => void>>();
  readonly #taps = new Map<(event: AgentEvent) => void, { isDeafToRequests: boolean }>();

  /** Listens to one kind of event; returns a function that stops it. */
  on<E extends EventName>(event: E, listener: EventListener<E>): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /**
   * Hears everything, in order.
   *
   * @param o.requests false: all but `request`, of which there may be thousands a second
   */
  tap(listener: (event: AgentEvent) => void, o: { requests?: boolean } = {}): () => void {
    this.#taps.set(listener, { isDeafToRequests: o.requests === false });
    return () => this.#taps.delete(listener);
  }

  /** Whether anyone would hear a `request`: nobody builds the event otherwise. */
  get hearsRequests(): boolean {
    if ((this.#listeners.get("request")?.size ?? 0) > 0) return true;
    for (const { isDeafToRequests } of this.#taps.values()) if (!isDeafToRequests) return true;
    return false;
  }

  emit<E extends EventName>(event: E, fields: EventMap[E]): void {
    // The name comes first in the object, and so in the JSON line.
    const whole = { event, ...fields } as AgentEvent;
    for (const [tap, { isDeafToRequests }] of this.#taps) {
      if (!isDeafToRequests || event !== "request") guarded(() => tap(whole));
    }
    for (const listener of this.#listeners.get(event) ?? []) guarded(() => (listener as EventListener<E>)(fields));
  }
}

function guarded(call: () => void): void {
  try {
    call();
  } catch (error) {
    // Out of the agent's own stack: the program hears of its mistake, the stream that caused the event goes on.
    queueMicrotask(() => {
      throw error;
    });
  }
}
