import { createHash } from "node:crypto";

/** Public ports, both ends included. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** A port that listens. */
export interface OpenPort {
  close(): void;
}

/** Listens on a port for the tunnel of a host; rejects when that is not possible. */
export type PortOpener = (port: number, host: string) => Promise<OpenPort>;

/** What a tunnel asks of {@link Ports}. */
export interface PortWish {
  /** Under which the tunnel is found again. */
  readonly host: string;
  /** This one or none. */
  readonly wanted: number | undefined;
  /** The one it had before, when that is free. */
  readonly former: number | undefined;
  mayUse(port: number): boolean;
}

// A port that another program has costs one failed listen; a range full of them is not worth more.
const MAX_FAILED_LISTENS = 32;

/**
 * The raw public ports for TCP tunnels. A tunnel keeps its port as long as its name is held. Which one it gets follows from
 * its name, so that after a restart of the relay it is most likely the same.
 */
export class Ports {
  readonly #ranges: readonly PortRange[];
  readonly #open: PortOpener;
  /** Undefined while the port is being opened. */
  readonly #used = new Map<number, OpenPort | undefined>();

  constructor(ranges: readonly PortRange[], open: PortOpener) {
    this.#ranges = ranges;
    this.#open = open;
  }

  /** Whether there are any. */
  get areOffered(): boolean {
    return this.#ranges.length > 0;
  }

  /** Opens a port for a tunnel; undefined when none can be had. */
  async assign(wish: PortWish): Promise<number | undefined> {
    let failures = 0;
    for (const port of this.#candidates(wish)) {
      if (this.#used.has(port) || !wish.mayUse(port)) continue;
      this.#used.set(port, undefined);
      try {
        this.#used.set(port, await this.#open(port, wish.host));
        return port;
      } catch {
        this.#used.delete(port);
        failures += 1;
        if (failures >= MAX_FAILED_LISTENS) return undefined;
      }
    }
    return undefined;
  }

  /** Closes a port; connections that came through it go on. */
  release(port: number): void {
    const open = this.#used.get(port);
    this.#used.delete(port);
    open?.close();
  }

  /** Closes every port. */
  close(): void {
    for (const port of [...this.#used.keys()]) this.release(port);
  }

  *#candidates({ host, wanted, former }: PortWish): Generator<number> {
    if (wanted !== undefined) {
      if (this.#has(wanted)) yield wanted;
      return;
    }
    if (former !== undefined && this.#has(former)) yield former;
    const count = this.#ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0);
    if (count === 0) return;
    const start = createHash("sha256").update(host).digest().readUInt32BE(0) % count;
    for (let i = 0; i < count; i += 1) yield this.#at((start + i) % count);
  }

  #has(port: number): boolean {
    return this.#ranges.some(({ first, last }) => port >= first && port <= last);
  }

  #at(index: number): number {
    let left = index;
    for (const { first, last } of this.#ranges) {
      const size = last - first + 1;
      if (left < size) return first + left;
      left -= size;
    }
    throw new RangeError("an index beyond the ranges");
  }
}
