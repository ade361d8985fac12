import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

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
  /** Connections accepted and passed on so far. */
  connections = 0;

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
        if (this.resetAfterBytes === undefined || moved < this.resetAfterBytes) return;
        socket.resetAndDestroy();
        upstream.resetAndDestroy();
      });
    }
  }

  #carry(lane: Lane, count: (bytes: number) => void): void {
    let readyAt = 0;
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
      if (this.isBlackHole) return;
      const now = performance.now();
      const spentMs =
        chunk === undefined || this.bytesPerSecond === undefined ? 0 : (chunk.length / this.bytesPerSecond) * 1_000;
      readyAt = Math.max(readyAt, now + this.latencyMs) + spentMs;
      if (readyAt <= now) {
        deliver(chunk);
        return;
      }
      // What is under way is bounded by the delay: a slow link does not take bytes it cannot carry.
      if (readyAt - now > this.latencyMs + 20) lane.from.pause();
      this.#later(readyAt - now, () => {
        deliver(chunk);
        if (!lane.to.writableNeedDrain) lane.from.resume();
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
