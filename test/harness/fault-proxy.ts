import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** How long a stall lasts, milliseconds. */
const STALL_MS = 3_000;

/** One direction of a proxied connection: bytes wait here for delay and rate. */
interface Lane {
  from: Socket;
  to: Socket;
}

/**
 * A TCP proxy that makes a link bad on purpose: latency, rate, black hole, cuts by FIN or RST, refused dials. It stands
 * between agent and relay; all faults can be changed while connections are open.
 */
export class FaultProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #target: number;
  readonly #sockets = new Set<Socket>();
  readonly #timers = new Set<NodeJS.Timeout>();
  /** Added one-way delay in milliseconds. */
  latencyMs = 0;
  /** Bytes a second in each direction; undefined: no bound. */
  bytesPerSecond: number | undefined;
  /** Swallows everything both ways and keeps the connections. */
  isBlackHole = false;
  /** Connections are reset as soon as they are accepted. */
  isRefusing = false;
  /** Each connection is reset after so many bytes towards the relay and back together. */
  resetAfterBytes: number | undefined;
  /** The next connections, in order, are reset after so many reads in both directions: about as many messages. */
  resetAfterReads: number[] = [];
  /** Chance of each read to stall its direction for 3 s, and where the chance comes from. */
  stallChance = 0;
  random: () => number = Math.random;
  /** Connections accepted and passed on so far. */
  connections = 0;
  readonly #black = new WeakSet<Socket>();

  private constructor(server: Server, target: number) {
    this.#server = server;
    this.#target = target;
  }

  /** Starts on a free loopback port in front of another loopback port. */
  static async start(target: number): Promise<FaultProxy> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    const proxy = new FaultProxy(server, target);
    server.on("connection", (socket) => proxy.#onConnection(socket));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Swallows everything on the connections there are and keeps them; later ones work. */
  blacken(): void {
    for (const socket of this.#sockets) this.#black.add(socket);
  }

  /** Ends all connections now, by RST or by FIN. */
  cut(by: "rst" | "fin" = "rst"): void {
    for (const socket of [...this.#sockets]) {
      if (by === "rst") socket.resetAndDestroy();
      else socket.destroy();
    }
  }

  /** Ends all connections and refuses new ones for a while. */
  async cutFor(ms: number, by: "rst" | "fin" = "rst"): Promise<void> {
    this.isRefusing = true;
    this.cut(by);
    await new Promise<void>((resolve) => {
      this.#later(ms, resolve);
    });
    this.isRefusing = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    const closed = once(this.#server, "close");
    this.#server.close();
    this.cut();
    await closed;
  }

  #onConnection(socket: Socket): void {
    if (this.isRefusing) {
      socket.on("error", () => {});
      socket.resetAndDestroy();
      return;
    }
    this.connections += 1;
    const upstream = connect({ host: "127.0.0.1", port: this.#target, allowHalfOpen: true, noDelay: true });
    let moved = 0;
    let reads = 0;
    const mostReads = this.resetAfterReads.shift();
    for (const lane of [
      { from: socket, to: upstream },
      { from: upstream, to: socket },
    ]) {
      this.#sockets.add(lane.from);
      lane.from.on("error", () => lane.to.destroy());
      lane.from.on("close", () => {
        this.#sockets.delete(lane.from);
        lane.to.destroy();
      });
      this.#carry(lane, (bytes) => {
        moved += bytes;
        reads += 1;
        const isEnough = this.resetAfterBytes !== undefined && moved >= this.resetAfterBytes;
        if (!isEnough && reads !== mostReads) return;
        socket.resetAndDestroy();
        upstream.resetAndDestroy();
      });
    }
  }

  #carry(lane: Lane, count: (bytes: number) => void): void {
    let readyAt = 0;
    const queue: { chunk: Buffer | undefined; at: number }[] = [];
    const deliver = (chunk: Buffer | undefined): void => {
      if (lane.to.destroyed) return;
      if (chunk === undefined) {
        lane.to.end();
        return;
      }
      if (!lane.to.write(chunk)) {
        lane.from.pause();
        lane.to.once("drain", () => lane.from.resume());
      }
      count(chunk.length);
    };
    const take = (chunk: Buffer | undefined): void => {
      if (this.isBlackHole || this.#black.has(lane.from)) return;
      const now = performance.now();
      const spentMs =
        chunk === undefined || this.bytesPerSecond === undefined ? 0 : (chunk.length / this.bytesPerSecond) * 1_000;
      readyAt = Math.max(readyAt, now + this.latencyMs) + spentMs;
      if (this.stallChance > 0 && this.random() < this.stallChance) readyAt += STALL_MS;
      if (readyAt <= now && queue.length === 0) {
        deliver(chunk);
        return;
      }
      queue.push({ chunk, at: readyAt });
      if (queue.length === 1) arm();
      // What is under way is bounded by the delay: a slow link does not take bytes it cannot carry.
      if (readyAt - now > this.latencyMs + 20) lane.from.pause();
    };
    // One timer for the head of the queue: timers of different lengths may fire in the wrong order.
    const arm = (): void => {
      const head = queue[0];
      if (head === undefined) return;
      this.#later(Math.max(0, head.at - performance.now()), () => {
        const now = performance.now();
        while (queue[0] !== undefined && queue[0].at <= now + 1) deliver(queue.shift()?.chunk);
        if (!lane.to.writableNeedDrain && (queue.at(-1)?.at ?? 0) - now <= this.latencyMs + 20) lane.from.resume();
        arm();
      });
    };
    lane.from.on("data", take);
    lane.from.on("end", () => take(undefined));
  }

  #later(ms: number, run: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      run();
    }, ms);
    this.#timers.add(timer);
  }
}
