/** Something that may have to be shown. */
export interface Unseen {
  /** Where it is kept; -1 while it is not. {@link UnseenList}'s own. */
  unseenSlot: number;
}

/**
 * What nobody can see yet. Slots that are emptied and used again, and not a Set: every exchange enters and leaves, and a Set that is
 * rehashed now and then keeps the dead ones reachable for the young generation, which cost each recorded exchange a tenth more.
 */
export class UnseenList<Item extends Unseen> {
  readonly #slots: (Item | undefined)[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(item: Item): void {
    item.unseenSlot = this.#size;
    this.#slots[this.#size] = item;
    this.#size += 1;
  }

  remove(item: Item): void {
    const { unseenSlot } = item;
    if (unseenSlot < 0) return;
    item.unseenSlot = -1;
    this.#size -= 1;
    const last = this.#slots[this.#size];
    this.#slots[this.#size] = undefined;
    if (last === undefined || last === item) return;
    this.#slots[unseenSlot] = last;
    last.unseenSlot = unseenSlot;
  }

  /** A copy of all, in no order. */
  all(): Item[] {
    return this.#slots.slice(0, this.#size) as Item[];
  }
}
