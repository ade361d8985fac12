import { Agent, type ClientRequestArgs } from "node:http";
import type { Duplex } from "node:stream";
import { type HeaderList, type HttpOpenHead, type MuxStream, ResetCode, type StreamHandler } from "@ggrok/protocol";
import { choosePath } from "./choose-path.ts";
import { createDial, type Dial, forgiveWrites, type UpstreamTls } from "./dial.ts";
import { Exchange, type ExchangeEvent, type ExchangeOwner } from "./exchange.ts";
import type { OpenTap } from "./exchange-tap.ts";
import { FastExchange } from "./http-fast.ts";
import { FullExchange } from "./http-full.ts";
import { LanePool } from "./lane-pool.ts";
import { FORWARD_LIMITS } from "./limits.ts";
import { joinTarget, type Target } from "./target.ts";
import { UpgradeExchange } from "./upgrade.ts";

/** Hands the exchanges of one tunnel to its app. */
export interface Forwarder {
  /** The agent gives every stream of the tunnel here; it answers on the same stream. */
  onStream(stream: MuxStream, head: HttpOpenHead, fin: boolean): void;
  /** Exchanges that are open or wait for a connection. */
  readonly openExchanges: number;
  /** Lets open exchanges end, then closes the connections to the app. The caller sets the deadline and then destroys. */
  close(): Promise<void>;
  /** Cuts everything now. */
  destroy(): void;
}

/** What a forwarder is made of. */
export interface ForwarderOptions {
  readonly target: Target;
  /** Name of the tunnel, for the events. */
  readonly tunnel: string;
  /** Longest silence of the app; none by default. */
  readonly timeoutMs?: number;
  readonly tls?: UpstreamTls;
  readonly onExchange?: (event: ExchangeEvent) => void;
  /** Asked once for each exchange. */
  readonly openTap?: OpenTap;
  /** Exchanges open with the app at a time, and waiting for that; defaults: {@link FORWARD_LIMITS}. */
  readonly openExchangesMax?: number;
  readonly waitingExchangesMax?: number;
}

/** Makes the one that hands a tunnel's exchanges to `target`, which never comes from the wire. */
export function createForwarder(options: ForwarderOptions): Forwarder {
  return new TargetForwarder(options);
}

class TargetForwarder implements Forwarder, ExchangeOwner {
  readonly tunnel: string;
  readonly onEvent: ((event: ExchangeEvent) => void) | undefined;
  readonly openTap: OpenTap | undefined;
  readonly #options: ForwarderOptions;
  readonly #dial: Dial;
  readonly #lanes: LanePool;
  readonly #agent: Agent;
  /**
   * In no order: each knows its place, and the last one fills a gap. A Set would chain its outgrown tables, and with them
   * keep ended exchanges from being collected young: 3 us a request.
   */
  readonly #open: Exchange[] = [];
  readonly #waiting = new Set<WaitingExchange>();
  readonly #openMax: number;
  readonly #waitingMax: number;
  #isDestroyed = false;
  #closing: Promise<void> | undefined;
  #onEmpty: (() => void) | undefined;

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.tunnel = options.tunnel;
    this.onEvent = options.onExchange;
    this.openTap = options.openTap;
    this.#openMax = options.openExchangesMax ?? FORWARD_LIMITS.OPEN_EXCHANGES_MAX;
    this.#waitingMax = options.waitingExchangesMax ?? FORWARD_LIMITS.WAITING_EXCHANGES_MAX;
    this.#dial = createDial(options.target, options.tls);
    this.#lanes = new LanePool(this.#dial);
    this.#agent = createAgent(this.#dial);
  }

  get openExchanges(): number {
    return this.#open.length + this.#waiting.size;
  }

  onStream(stream: MuxStream, head: HttpOpenHead, fin: boolean): void {
    if (this.#isDestroyed) {
      stream.reset(ResetCode.Draining, { notProcessed: true });
    } else if (this.#open.length < this.#openMax) {
      this.#start(stream, head, fin);
    } else if (this.#waiting.size < this.#waitingMax) {
      this.#waiting.add(new WaitingExchange(stream, head, fin, (waiting) => this.#waiting.delete(waiting)));
    } else {
      stream.reset(ResetCode.Overload, { message: "too many exchanges wait for the app", notProcessed: true });
    }
  }

  close(): Promise<void> {
    this.#closing ??= new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
      this.#closeIfEmpty();
    });
    return this.#closing;
  }

  destroy(): void {
    this.#isDestroyed = true;
    for (const waiting of this.#waiting) waiting.stream.reset(ResetCode.Draining, { notProcessed: true });
    this.#waiting.clear();
    for (const exchange of [...this.#open]) {
      exchange.fail(ResetCode.Draining, "the agent stopped", { notProcessed: !exchange.stream.dispatched });
    }
    this.#lanes.destroy();
    this.#agent.destroy();
    this.#closeIfEmpty();
  }

  #start(stream: MuxStream, head: HttpOpenHead, fin: boolean): void {
    const { target, timeoutMs } = this.#options;
    const exchange = new Exchange(this, stream, head, fin);
    exchange.place = this.#open.push(exchange) - 1;
    const path = joinTarget(target, head.target);
    switch (choosePath(head, fin)) {
      case "fast":
        new FastExchange({ exchange, target: path, lanes: this.#lanes, timeoutMs });
        break;
      case "full":
        new FullExchange({
          exchange,
          target: path,
          authority: target.authority,
          agent: this.#agent,
          dial: this.#dial,
          timeoutMs,
        });
        break;
      case "upgrade":
        new UpgradeExchange({ exchange, target: path, authority: target.authority, dial: this.#dial, timeoutMs });
        break;
    }
  }

  onDone(exchange: Exchange): void {
    const last = this.#open.pop();
    if (last !== undefined && last !== exchange) {
      this.#open[exchange.place] = last;
      last.place = exchange.place;
    }
    if (this.#waiting.size === 0 && this.#onEmpty === undefined) return;
    for (const waiting of this.#waiting) {
      if (this.#open.length >= this.#openMax) break;
      this.#waiting.delete(waiting);
      this.#start(waiting.stream, waiting.head, waiting.isWhole);
      waiting.handOver();
    }
    this.#closeIfEmpty();
  }

  #closeIfEmpty(): void {
    if (this.#onEmpty === undefined || this.openExchanges > 0) return;
    this.#lanes.close();
    this.#agent.destroy();
    this.#onEmpty();
  }
}

/** Keeps what comes for an exchange that waits for its turn: at most one chunk, then the stream holds the rest. */
class WaitingExchange implements StreamHandler {
  readonly stream: MuxStream;
  readonly head: HttpOpenHead;
  readonly isWhole: boolean;
  readonly #onGone: (waiting: WaitingExchange) => void;
  #chunk: Buffer | undefined;
  #isFinal = false;
  #trailers: HeaderList | undefined;

  constructor(stream: MuxStream, head: HttpOpenHead, isWhole: boolean, onGone: (waiting: WaitingExchange) => void) {
    this.stream = stream;
    this.head = head;
    this.isWhole = isWhole;
    this.#onGone = onGone;
    stream.handler = this;
  }

  onData(chunk: Buffer, fin: boolean): boolean {
    this.#chunk = chunk;
    this.#isFinal = fin;
    return false;
  }

  onTrailers(fields: HeaderList): void {
    this.#trailers = fields;
  }

  onReset(): void {
    this.#onGone(this);
  }

  onDrain(): void {}

  /** Gives the new handler of the stream what came in the meantime. */
  handOver(): void {
    const { handler } = this.stream;
    const isFull = this.#chunk !== undefined && !handler.onData(this.#chunk, this.#isFinal);
    if (this.#trailers !== undefined) handler.onTrailers(this.#trailers);
    else if (!isFull) this.stream.resume();
  }
}

function createAgent(dial: Dial): Agent {
  const agent = new Agent({
    keepAlive: true,
    scheduling: "lifo",
    maxFreeSockets: FORWARD_LIMITS.IDLE_CONNECTIONS_MAX,
    timeout: FORWARD_LIMITS.IDLE_CONNECTION_MS,
  });
  agent.createConnection = (_options: ClientRequestArgs, done?: (error: Error | null, socket: Duplex) => void) => {
    dial({ allowHalfOpen: false }, (error, socket) => {
      // Node asks for a socket beside an error; it looks at the error first.
      done?.(error, (socket === undefined ? undefined : forgiveWrites(socket)) as Duplex);
    });
    return undefined;
  };
  return agent;
}
