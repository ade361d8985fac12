/** What all exchanges of a relay may keep for sending again. */
export class ReplayBudget {
  readonly #limitBytes: number;
  #heldBytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  take(bytes: number): boolean {
    if (this.#heldBytes + bytes > this.#limitBytes) return false;
    this.#heldBytes += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#heldBytes -= bytes;
  }
}

// A tiny chunk costs its Buffer object too.
const CHUNK_OVERHEAD_BYTES = 256;
// Smaller chunks are copied, so that they do not hold the read buffer they were cut from.
const COPY_BELOW_BYTES = 8_192;

/**
 * The body of one exchange, kept until its agent answers. It is whole or it is nothing: once a limit is passed it is
 * dropped, and the exchange can no longer be sent again.
 */
export class ReplayBuffer {
  readonly #budget: ReplayBudget;
  readonly #limitBytes: number;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #cost = 0;
  #isWhole = true;

  constructor(budget: ReplayBudget, limitBytes: number) {
    this.#budget = budget;
    this.#limitBytes = limitBytes;
  }

  /** Everything that came is still here. */
  get isWhole(): boolean {
    return this.#isWhole;
  }
  get chunks(): readonly Buffer[] {
    return this.#chunks;
  }
  get bytes(): number {
    return this.#bytes;
  }

  add(chunk: Buffer): void {
    if (!this.#isWhole) return;
    const cost = chunk.length + CHUNK_OVERHEAD_BYTES;
    if (this.#bytes + chunk.length > this.#limitBytes || !this.#budget.take(cost)) {
      this.drop();
      return;
    }
    this.#cost += cost;
    this.#bytes += chunk.length;
    this.#chunks.push(chunk.length < COPY_BELOW_BYTES ? Buffer.from(chunk) : chunk);
  }

  /** Lets go of everything; the exchange is given now. Idempotent. */
  drop(): void {
    this.#isWhole = false;
    this.#budget.give(this.#cost);
    this.#cost = 0;
    this.#bytes = 0;
    this.#chunks = [];
  }
}
