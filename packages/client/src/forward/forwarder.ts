import { type HeaderList, type HttpOpenHead, type MuxStream, ResetCode, type StreamHandler } from "@ggrok/protocol";
import { choosePath } from "./choose-path.ts";
import type { UpstreamTls } from "./dial.ts";
import { Exchange, type ExchangeEvent, type ExchangeOwner } from "./exchange.ts";
import type { OpenTap } from "./exchange-tap.ts";
import type { HeaderRules } from "./header-rules.ts";
import type { HostHeader } from "./host-header.ts";
import { FastExchange } from "./http-fast.ts";
import { FullExchange } from "./http-full.ts";
import { FORWARD_LIMITS } from "./limits.ts";
import { isBelow, type Mount } from "./mounts.ts";
import { Route } from "./route.ts";
import { originForm, type Target } from "./target.ts";
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

/** How a tunnel's exchanges reach its apps, as the user asked for it. */
export interface ForwardPlan {
  readonly target: Target;
  /** Apps below a path of their own; the longest path that fits wins. */
  readonly mounts?: readonly Mount[];
  /** Mounted apps do not see the path they are mounted at. */
  readonly isPrefixStripped?: boolean;
  /** Longest silence of the app; none by default. */
  readonly timeoutMs?: number;
  readonly tls?: UpstreamTls;
  /** Default: `auto`. */
  readonly hostHeader?: HostHeader;
  readonly requestRules?: HeaderRules;
  readonly responseRules?: HeaderRules;
}

/** What a forwarder is made of. */
export interface ForwarderOptions extends ForwardPlan {
  /** Name of the tunnel, for the events. */
  readonly tunnel: string;
  /** A line for people. */
  readonly onNotice?: (text: string) => void;
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
  readonly #main: Route;
  /** The longest path first. */
  readonly #mounts: readonly Route[];
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
    this.#main = this.#createRoute({ prefix: "", target: options.target });
    this.#mounts = (options.mounts ?? [])
      .toSorted((a, b) => b.prefix.length - a.prefix.length)
      .map((mount) => this.#createRoute(mount));
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
    for (const route of [this.#main, ...this.#mounts]) route.destroy();
    this.#closeIfEmpty();
  }

  #createRoute(mount: Mount): Route {
    const { tls, hostHeader, requestRules, responseRules, onNotice, isPrefixStripped } = this.#options;
    return new Route({
      ...mount,
      isPrefixStripped: isPrefixStripped === true,
      hostHeader: hostHeader ?? { mode: "auto" },
      ...(tls !== undefined && { tls }),
      ...(requestRules !== undefined && { requestRules }),
      ...(responseRules !== undefined && { responseRules }),
      ...(onNotice !== undefined && { onNotice }),
      restart: (exchange) => this.#restart(exchange),
    });
  }

  #start(stream: MuxStream, head: HttpOpenHead, fin: boolean): void {
    const exchange = new Exchange(this, stream, head, fin);
    exchange.place = this.#open.push(exchange) - 1;
    this.#launch(exchange, fin);
  }

  /** Begins again with an exchange of which the visitor has seen nothing; out of the HTTP client's own handling of its end. */
  #restart(exchange: Exchange): void {
    setImmediate(() => {
      if (!exchange.isDone) this.#launch(exchange, exchange.isRequestWhole);
    });
  }

  #launch(exchange: Exchange, isWhole: boolean): void {
    const { timeoutMs } = this.#options;
    const { head } = exchange;
    const route = this.#mounts.length === 0 ? this.#main : this.#routeOf(head.target);
    const target = route.pathOf(head.target);
    const fields = route.dress(exchange);
    const { authority } = route.target;
    const path = choosePath(head, isWhole);
    if (path === "fast" && !route.takesFullPath) {
      const onUnaskedContinue = (): void => {
        route.takesFullPath = true;
        this.#restart(exchange);
      };
      new FastExchange({ exchange, target, fields, lanes: route.lanes, timeoutMs, onUnaskedContinue });
    } else if (path === "upgrade") {
      new UpgradeExchange({ exchange, target, fields, authority, dial: route.dial, timeoutMs });
    } else {
      new FullExchange({ exchange, target, fields, authority, agent: route.agent, dial: route.dial, timeoutMs });
    }
  }

  #routeOf(requestTarget: string): Route {
    const path = originForm(requestTarget);
    return this.#mounts.find(({ prefix }) => isBelow(path, prefix)) ?? this.#main;
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
    for (const route of [this.#main, ...this.#mounts]) route.close();
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
