import { getField, type HeaderList, ResetCode, type StreamHandler, type StreamReset } from "@ggrok/protocol";
import type { Dispatcher } from "undici";
import type { Exchange } from "./exchange.ts";
import { isIdempotent, isSafeToRepeat, isUnaskedContinue } from "./failure.ts";
import { reasonOfUtf8, textFields } from "./headers.ts";
import { IdleTimer } from "./idle-timer.ts";
import type { Lane, LanePool } from "./lane-pool.ts";

/**
 * An exchange without a request body, carried by undici: one object is handler of the stream and of the request, and nothing
 * else is made for an exchange.
 */
export class FastExchange implements StreamHandler, Dispatcher.DispatchHandler {
  readonly #exchange: Exchange;
  readonly #lanes: LanePool;
  readonly #onUnaskedContinue: () => void;
  readonly #request: Dispatcher.DispatchOptions & { readonly servername: string };
  readonly #timer: IdleTimer | undefined;
  #lane: Lane;
  #controller: Dispatcher.DispatchController | undefined;
  #hasAnswerBegun = false;
  #fields: HeaderList | undefined;
  #isOnKeptConnection = false;
  #wasRetried = false;

  constructor(o: {
    exchange: Exchange;
    target: string;
    fields: HeaderList;
    lanes: LanePool;
    timeoutMs: number | undefined;
    /** The app sent a 100 nobody asked for, which undici does not take: the exchange begins anew another way. */
    onUnaskedContinue: () => void;
  }) {
    const { head, stream } = o.exchange;
    this.#exchange = o.exchange;
    this.#lanes = o.lanes;
    this.#onUnaskedContinue = o.onUnaskedContinue;
    this.#request = {
      path: o.target,
      method: head.method,
      // undici reads the list and leaves it as it is.
      headers: o.fields as string[],
      // The lane makes its own TLS: this only spares undici the search for a name in Host.
      servername: "upstream",
      // undici would close the connection behind every HEAD.
      reset: false,
    };
    this.#timer = o.timeoutMs === undefined ? undefined : new IdleTimer(o.timeoutMs, () => this.#onIdle());
    stream.handler = this;
    this.#lane = o.lanes.take();
    this.#lane.client.dispatch(this.#request, this);
  }

  // ---- the stream

  onData(chunk: Buffer, _fin: boolean): boolean {
    // The head said that no body follows; the session refuses it before it gets here.
    return chunk.length === 0;
  }

  onTrailers(): void {}

  onDrain(): void {
    this.#controller?.resume();
  }

  onReset(reset: StreamReset): void {
    if (this.#exchange.isDone) return;
    this.#exchange.abandon(reset);
    this.#abort();
  }

  // ---- the request

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#exchange.isDone) {
      this.#abort();
      return;
    }
    this.#isOnKeptConnection = this.#lane.served > 0;
    this.#exchange.markDispatched();
  }

  onResponseStarted(): void {
    this.#hasAnswerBegun = true;
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, _headers: unknown, reason = ""): void {
    this.#timer?.touch();
    const fields = textFields(controller.rawHeaders);
    if (status >= 200) {
      this.#fields = fields;
      if (!this.#exchange.sendHead(status, reasonOfUtf8(reason), fields)) this.#abort();
    } else if (status === 101) {
      this.#exchange.fail(ResetCode.UpstreamMalformed, "the app switched protocols without being asked");
      this.#abort();
    } else {
      this.#exchange.sendInformational(status, reasonOfUtf8(reason), fields);
    }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#timer?.touch();
    if (!this.#exchange.write(chunk)) controller.pause();
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    this.#timer?.stop();
    const lane = this.#lane;
    if (lane.brokenBy !== undefined) this.#exchange.failWith(lane.brokenBy);
    else this.#exchange.finish(textFields(controller.rawTrailers));
    lane.served++;
    this.#lanes.give(lane);
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.#mayRetry(error)) {
      this.#wasRetried = true;
      this.#controller = undefined;
      // The lane has lost its connection and opens a fresh one. Not from inside undici's own handling of the loss.
      setImmediate(() => this.#lane.client.dispatch(this.#request, this));
      return;
    }
    this.#timer?.stop();
    const { isDone, isAnswered, head } = this.#exchange;
    if (!isDone && !isAnswered && isUnaskedContinue(error) && isIdempotent(head.method)) this.#onUnaskedContinue();
    else if (this.#isAnswerWhole()) this.#exchange.finish([]);
    else this.#exchange.failWith(error);
    this.#lanes.give(this.#lane);
  }

  /**
   * While it is paused, undici takes an app that closes behind its answer for one that broke off: it has handed out the last
   * byte but not yet looked whether there are more. The length tells.
   */
  #isAnswerWhole(): boolean {
    const length = this.#fields === undefined ? undefined : getField(this.#fields, "content-length");
    return length !== undefined && this.#exchange.bytesOut > 0 && Number(length) === this.#exchange.bytesOut;
  }

  #mayRetry(error: Error): boolean {
    return (
      !this.#exchange.isDone &&
      this.#isOnKeptConnection &&
      !this.#hasAnswerBegun &&
      !this.#wasRetried &&
      isSafeToRepeat(this.#exchange.head.method, error)
    );
  }

  #onIdle(): void {
    // A visitor who does not read is not the app's fault.
    if (this.#controller?.paused === true) return;
    this.#exchange.fail(ResetCode.UpstreamTimeout, "the app was silent for too long");
    this.#abort();
  }

  /** Ends the request; without a controller it has not begun, and ends when it is about to. */
  #abort(): void {
    this.#timer?.stop();
    this.#controller?.abort(new Error("the exchange has ended"));
  }
}
