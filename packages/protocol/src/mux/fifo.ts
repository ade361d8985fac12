/** Slots a queue starts with; a power of two. */
const FIRST_SLOTS = 4;
/** An empty queue with more slots than this gives them back. */
const KEPT_SLOTS = 64;

/**
 * First in, first out, in a ring. What has left is held no longer: were its slot not emptied, it would be held until the
 * slots move together, grow old meanwhile, and take the 64 KiB of a read or of a batch with it into the old generation
 * (measured in the relay at 256 connections: 1 to 3 MiB a second until the next full collection).
 */
export class Fifo<T> {
  #slots: (T | undefined)[] = [];
  #first = 0;
  #length = 0;

  /** Items in the queue. */
  get length(): number {
    return this.#length;
  }

  push(item: T): void {
    if (this.#length === this.#slots.length) this.#grow();
    this.#slots[(this.#first + this.#length) & (this.#slots.length - 1)] = item;
    this.#length += 1;
  }

  /** Puts another item in the place of the last one; the queue must not be empty. */
  replaceLast(item: T): void {
    this.#slots[(this.#first + this.#length - 1) & (this.#slots.length - 1)] = item;
  }

  /** The oldest item, removed; undefined when there is none. */
  shift(): T | undefined {
    if (this.#length === 0) return undefined;
    const item = this.#slots[this.#first];
    this.#slots[this.#first] = undefined;
    this.#first = (this.#first + 1) & (this.#slots.length - 1);
    this.#length -= 1;
    if (this.#length === 0 && this.#slots.length > KEPT_SLOTS) this.clear();
    return item;
  }

  /** A copy of all items, oldest first. */
  all(): T[] {
    return [...this.#slots.slice(this.#first), ...this.#slots.slice(0, this.#first)].slice(0, this.#length) as T[];
  }

  clear(): void {
    this.#slots = [];
    this.#first = 0;
    this.#length = 0;
  }

  #grow(): void {
    const old = this.#slots;
    // Of exactly this length: pushing would leave room for 16 more in every idle session.
    const slots = new Array<T | undefined>(Math.max(old.length * 2, FIRST_SLOTS)).fill(undefined);
    for (let i = 0; i < this.#length; i += 1) slots[i] = old[(this.#first + i) & (old.length - 1)];
    old.fill(undefined);
    this.#slots = slots;
    this.#first = 0;
  }
}
