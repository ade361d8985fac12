import { LIMITS } from "../limits.ts";

/** How short memory is: each level lowers the credit that is given or renewed. */
export const MemoryLevel = { Plenty: 0, Half: 1, Low: 2, Full: 3 } as const;
/** One of {@link MemoryLevel}. */
export type MemoryLevel = (typeof MemoryLevel)[keyof typeof MemoryLevel];

const CREDIT_CAP_BYTES: Readonly<Record<MemoryLevel, number>> = {
  [MemoryLevel.Plenty]: LIMITS.STREAM_WINDOW_MAX_BYTES,
  [MemoryLevel.Half]: LIMITS.MEMORY_HALF_CREDIT_BYTES,
  [MemoryLevel.Low]: LIMITS.MEMORY_LOW_CREDIT_BYTES,
  [MemoryLevel.Full]: 0,
};

function levelOf(share: number): MemoryLevel {
  if (share < 0.5) return MemoryLevel.Plenty;
  if (share < 0.75) return MemoryLevel.Half;
  return share < 1 ? MemoryLevel.Low : MemoryLevel.Full;
}

/**
 * Payload that was received and not yet consumed, counted against a limit. A session's budget names the relay's as its
 * parent, so one slow session and many slow ones both lower the credit that is given out.
 */
export class MemoryBudget {
  readonly limitBytes: number;
  readonly #parent: MemoryBudget | undefined;
  #held = 0;

  constructor(limitBytes: number, parent?: MemoryBudget) {
    this.limitBytes = limitBytes;
    this.#parent = parent;
  }

  /** Bytes held now. */
  get heldBytes(): number {
    return this.#held;
  }

  /** Counts bytes taken into memory. */
  add(bytes: number): void {
    this.#held += bytes;
    this.#parent?.add(bytes);
  }

  /** Counts bytes given back. */
  remove(bytes: number): void {
    this.#held -= bytes;
    this.#parent?.remove(bytes);
  }

  /** The worse of this budget's level and its parent's. */
  get level(): MemoryLevel {
    const above = this.#parent?.level ?? MemoryLevel.Plenty;
    if (above === MemoryLevel.Full) return above;
    const own = levelOf(this.#held / this.limitBytes);
    // biome-ignore lint/complexity/useMathMinMax: Math.max would lose the closed set's type
    return own > above ? own : above;
  }

  /** Most credit a stream is given or renewed now, in bytes. */
  get creditCapBytes(): number {
    return CREDIT_CAP_BYTES[this.level];
  }
}
