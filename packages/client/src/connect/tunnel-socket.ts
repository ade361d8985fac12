import type { AddressInfo } from "node:net";
import { Duplex } from "node:stream";
import { breakOff } from "../join.ts";

/** What a {@link TunnelSocket} is made of. */
export interface TunnelSocketOptions {
  readonly allowHalfOpen: boolean;
  /** Opens the connection; called once, at once. */
  open(signal: AbortSignal): Promise<Duplex>;
  /** Called once, when the socket is closed. */
  onClosed(): void;
}

/**
 * A connection to a TCP tunnel that looks like a socket which is being connected: what is written before waits, `connect` says
 * that the app has taken it. The methods of `net.Socket` that clients call are here; where a tunnel has nothing to set, they
 * do nothing.
 */
export class TunnelSocket extends Duplex {
  readonly #abort = new AbortController();
  readonly #onClosed: () => void;
  #remote: Duplex | undefined;
  #timer: NodeJS.Timeout | undefined;
  #timeoutMs = 0;
  /** Resolves once there is a connection or none will be. */
  readonly #opened: Promise<void>;

  constructor(options: TunnelSocketOptions) {
    super({ allowHalfOpen: options.allowHalfOpen });
    this.#onClosed = options.onClosed;
    this.#opened = options.open(this.#abort.signal).then(
      (remote) => this.#onOpen(remote),
      (error: unknown) => void this.destroy(error instanceof Error ? error : new Error(String(error))),
    );
  }

  /** True until the app has taken the connection. */
  get connecting(): boolean {
    return this.#remote === undefined && !this.destroyed;
  }
  get pending(): boolean {
    return this.connecting;
  }
  get readyState(): "opening" | "open" | "readOnly" | "writeOnly" | "closed" {
    if (this.connecting) return "opening";
    if (this.readable && this.writable) return "open";
    return this.readable ? "readOnly" : this.writable ? "writeOnly" : "closed";
  }

  /** Clients that were handed a socket call this: it is connecting already, and `connect` follows in any case. */
  connect(...args: readonly unknown[]): this {
    const listener = args.at(-1);
    if (typeof listener === "function") this.once("connect", listener as () => void);
    if (this.#remote !== undefined) process.nextTick(() => this.emit("connect"));
    return this;
  }

  /** Emits `timeout` after each so many milliseconds in which nothing moved; 0 is none. */
  setTimeout(timeoutMs: number, listener?: () => void): this {
    clearTimeout(this.#timer);
    this.#timeoutMs = timeoutMs;
    if (timeoutMs > 0) {
      if (listener !== undefined) this.once("timeout", listener);
      this.#timer = setTimeout(() => this.emit("timeout"), timeoutMs).unref();
    } else if (listener !== undefined) this.off("timeout", listener);
    return this;
  }
  get timeout(): number {
    return this.#timeoutMs;
  }

  /** Tunnels have it off on every hop. */
  setNoDelay(): this {
    return this;
  }
  /** Tunnels have heartbeats of their own. */
  setKeepAlive(): this {
    return this;
  }
  ref(): this {
    this.#withSocket((socket) => socket.ref());
    return this;
  }
  unref(): this {
    this.#withSocket((socket) => socket.unref());
    return this;
  }
  address(): AddressInfo | Record<string, never> {
    return {};
  }
  /** Ends at once; the app sees a reset. */
  resetAndDestroy(): this {
    return this.destroy();
  }
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", () => this.destroy());
  }

  override _read(): void {
    this.#remote?.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#touch();
    const write = (): void => {
      const remote = this.#remote;
      if (remote === undefined) return;
      if (remote.write(chunk)) done();
      else this.#onRoom = done;
    };
    if (this.#remote !== undefined) write();
    else void this.#opened.then(write);
  }
  #onRoom: (() => void) | undefined;

  override _final(done: (error?: Error | null) => void): void {
    void this.#opened.then(() => {
      this.#remote?.end();
      done();
    });
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#timer);
    this.#abort.abort(error ?? new Error("the connection was closed"));
    const remote = this.#remote;
    // An orderly end lets what was written arrive; anything else is a reset, as it would be on a socket.
    if (remote !== undefined && !(remote.readableEnded && this.writableFinished)) breakOff(remote);
    this.#onClosed();
    done(error);
  }

  #onOpen(remote: Duplex): void {
    if (this.destroyed) {
      remote.on("error", () => {});
      breakOff(remote);
      return;
    }
    this.#remote = remote;
    remote.on("data", (chunk: Buffer) => {
      this.#touch();
      if (!this.push(chunk)) remote.pause();
    });
    remote.on("end", () => this.push(null));
    remote.on("drain", () => {
      this.#touch();
      const done = this.#onRoom;
      this.#onRoom = undefined;
      done?.();
    });
    remote.on("error", (error) => this.destroy(error));
    remote.on("close", () => {
      if (!remote.readableEnded || !remote.writableFinished)
        this.destroy(Object.assign(new Error("the tunnel's connection broke"), { code: "ECONNRESET" }));
    });
    this.emit("connect");
    this.emit("ready");
  }

  #touch(): void {
    this.#timer?.refresh();
  }

  #withSocket(act: (socket: { ref(): unknown; unref(): unknown }) => void): void {
    const remote = this.#remote;
    if (remote !== undefined && "ref" in remote && "unref" in remote)
      act(remote as Duplex & { ref(): unknown; unref(): unknown });
  }
}
