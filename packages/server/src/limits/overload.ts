import { getHeapSpaceStatistics, getHeapStatistics } from "node:v8";

/** When a relay is overloaded, and when it no longer is. */
export interface OverloadMarks {
  /** A check that comes later than this counts as late. */
  readonly lagMs: number;
  /** Share of the memory above which it is short. */
  readonly memoryShare: number;
  /** Share of the memory below which there is enough again. */
  readonly memoryClearShare: number;
  /** Checks in a row that must say the same before the state changes. */
  readonly checks: number;
}

/** What one check saw. */
export interface OverloadSample {
  readonly lagMs: number;
  readonly memoryShare: number;
}

/**
 * Whether the relay is overloaded. One late check is a pause that is over already (a large collection, a machine that was
 * suspended); several in a row are more work than there is time for. Pure: the samples are arguments.
 */
export class OverloadState {
  readonly #marks: OverloadMarks;
  #isOverloaded = false;
  #contrary = 0;

  constructor(marks: OverloadMarks) {
    this.#marks = marks;
  }

  get isOverloaded(): boolean {
    return this.#isOverloaded;
  }

  /** Takes one check into account. @returns whether the state has changed */
  sample({ lagMs, memoryShare }: OverloadSample): boolean {
    const { checks, ...marks } = this.#marks;
    const isShort = lagMs > marks.lagMs || memoryShare > marks.memoryShare;
    // Half the lag, and less memory: a state at its mark must not flap.
    const isClear = lagMs < marks.lagMs / 2 && memoryShare < marks.memoryClearShare;
    this.#contrary = (this.#isOverloaded ? isClear : isShort) ? this.#contrary + 1 : 0;
    if (this.#contrary < checks) return false;
    this.#contrary = 0;
    this.#isOverloaded = !this.#isOverloaded;
    return true;
  }
}

/** What {@link OverloadWatch} is made of. */
export interface OverloadWatchOptions {
  readonly marks: OverloadMarks;
  readonly intervalMs: number;
  /** Memory the process may use. */
  readonly memoryBytes: number;
  onChange(isOverloaded: boolean, sample: OverloadSample): void;
}

/** Looks at the event loop and the memory a few times a second. Reading the outcome is one property. */
export class OverloadWatch {
  readonly #options: OverloadWatchOptions;
  readonly #state: OverloadState;
  #timer: NodeJS.Timeout | undefined;
  #dueAtMs = 0;
  #lagMs = 0;

  constructor(options: OverloadWatchOptions) {
    this.#options = options;
    this.#state = new OverloadState(options.marks);
  }

  get isOverloaded(): boolean {
    return this.#state.isOverloaded;
  }

  /** How late the last check came. */
  get lagMs(): number {
    return this.#lagMs;
  }

  start(): void {
    const { intervalMs } = this.#options;
    this.#dueAtMs = performance.now() + intervalMs;
    this.#timer = setInterval(() => this.#check(), intervalMs).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #check(): void {
    const { intervalMs, memoryBytes, onChange } = this.#options;
    const now = performance.now();
    this.#lagMs = Math.max(0, now - this.#dueAtMs);
    this.#dueAtMs = now + intervalMs;
    const sample = { lagMs: this.#lagMs, memoryShare: memoryShareOf(memoryBytes) };
    if (this.#state.sample(sample)) onChange(this.#state.isOverloaded, sample);
  }
}

/**
 * What lives, of the heap and of what the process may have: whichever is shorter. Not the resident set, which stays large
 * after a peak although there is room in it.
 */
function memoryShareOf(memoryBytes: number): number {
  const heap = getHeapStatistics();
  const old = heap.used_heap_size - youngBytes();
  return Math.max(
    old / (OLD_SPACE_BYTES ?? heap.heap_size_limit),
    (heap.used_heap_size + heap.external_memory) / memoryBytes,
  );
}

function youngBytes(): number {
  let sum = 0;
  for (const { space_name, space_used_size } of getHeapSpaceStatistics())
    if (space_name.startsWith("new_")) sum += space_used_size;
  return sum;
}

/**
 * The bound of the old generation where the operator has set one; undefined where V8 chose it. What V8 says of its heap's limit
 * includes a young generation made for the machine: up to 192 MiB that a small old generation can never use.
 */
export function oldSpaceBytes(execArgv: readonly string[], nodeOptions: string | undefined): number | undefined {
  const flags = [...(nodeOptions?.split(/\s+/u) ?? []), ...execArgv];
  const sizes = flags.flatMap((flag) => /^--max[-_]old[-_]space[-_]size=(\d+)$/u.exec(flag)?.[1] ?? []);
  const mib = Number(sizes.at(-1) ?? 0);
  return mib > 0 ? mib * 1_048_576 : undefined;
}

const OLD_SPACE_BYTES = oldSpaceBytes(process.execArgv, process.env["NODE_OPTIONS"]);
