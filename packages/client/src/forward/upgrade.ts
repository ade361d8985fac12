import { type ClientRequest, type IncomingMessage, request as openRequest } from "node:http";
import type { Duplex } from "node:stream";
import {
  getField,
  type HeaderList,
  ResetCode,
  removeHopByHop,
  type StreamHandler,
  type StreamReset,
} from "@ggrok/protocol";
import { breakOff } from "../join.ts";
import { Answer } from "./answer.ts";
import type { Dial } from "./dial.ts";
import type { Exchange } from "./exchange.ts";
import { IdleTimer } from "./idle-timer.ts";
import { FORWARD_LIMITS } from "./limits.ts";

/**
 * A request to switch protocols, on a connection of its own. After a 101 both directions are bytes, each with its own end; any
 * other answer is an ordinary one.
 */
export class UpgradeExchange implements StreamHandler {
  readonly #exchange: Exchange;
  readonly #request: ClientRequest;
  readonly #timer: IdleTimer | undefined;
  #answer: Answer | undefined;
  #socket: Duplex | undefined;
  #hasAppEnded = false;

  constructor(o: {
    exchange: Exchange;
    target: string;
    fields: HeaderList;
    authority: string;
    dial: Dial;
    timeoutMs: number | undefined;
  }) {
    this.#exchange = o.exchange;
    const { head, stream } = o.exchange;
    stream.handler = this;
    const request = openRequest({
      method: head.method,
      path: o.target,
      headers: upgradeFields(o.fields, o.authority),
      setHost: false,
      maxHeaderSize: FORWARD_LIMITS.RESPONSE_HEAD_BYTES_MAX,
      createConnection: (_options, done) => {
        o.dial({ allowHalfOpen: true }, (error, socket) => {
          if (socket !== undefined) o.exchange.markDispatched();
          // Node asks for a socket beside an error; it looks at the error first.
          done(error, socket as NonNullable<typeof socket>);
        });
        return undefined;
      },
    });
    this.#request = request;
    this.#timer = o.timeoutMs === undefined ? undefined : new IdleTimer(o.timeoutMs, () => this.#onIdle());
    request.on("information", (info) => {
      this.#timer?.touch();
      o.exchange.sendInformational(info.statusCode, info.statusMessage, info.rawHeaders);
    });
    request.on("response", (response) => {
      this.#timer?.touch();
      this.#answer = new Answer(o.exchange, response, this.#timer, () => this.#end(() => {}));
    });
    request.on("upgrade", (response, socket, early) => this.#onUpgrade(response, socket, early));
    request.on("error", (error) => {
      if (this.#answer?.isComplete === true) return;
      const { exchange } = o;
      const isRescued =
        this.#socket === undefined && !exchange.isDone && exchange.editor?.rescue?.(exchange, error) === true;
      this.#end(() => isRescued || exchange.failWith(error));
    });
    request.end();
  }

  // ---- the stream

  onData(chunk: Buffer, fin: boolean): boolean {
    this.#timer?.touch();
    this.#exchange.take(chunk);
    if (this.#socket === undefined || this.#exchange.isDone) return true;
    if (fin) {
      this.#exchange.isRequestWhole = true;
      this.#socket.end(chunk);
      this.#finishIfBothEnded();
      return true;
    }
    return this.#socket.write(chunk);
  }

  onTrailers(): void {
    this.onData(Buffer.alloc(0), true);
  }

  onDrain(): void {
    if (this.#socket !== undefined) this.#socket.resume();
    else this.#answer?.resume();
  }

  onReset(reset: StreamReset): void {
    this.#end(() => this.#exchange.abandon(reset));
  }

  // ---- the app

  #onUpgrade(response: IncomingMessage, socket: Duplex, early: Buffer): void {
    const exchange = this.#exchange;
    if (exchange.isDone) {
      socket.destroy();
      return;
    }
    this.#timer?.touch();
    this.#socket = socket;
    exchange.sendSwitching(response.statusMessage ?? "", response.rawHeaders);
    socket.on("error", (error) => this.#end(() => exchange.failWith(error)));
    socket.on("data", (chunk: Buffer) => {
      this.#timer?.touch();
      if (!exchange.write(chunk)) socket.pause();
    });
    socket.on("end", () => {
      this.#hasAppEnded = true;
      if (!exchange.isDone) exchange.stream.end();
      this.#finishIfBothEnded();
    });
    socket.on("drain", () => {
      this.#timer?.touch();
      exchange.stream.resume();
    });
    socket.on("close", () => {
      if (!this.#hasAppEnded || !exchange.isRequestWhole)
        this.#end(() => exchange.fail(ResetCode.UpstreamReset, "ECONNRESET"));
    });
    if (early.length > 0 && !exchange.write(early)) socket.pause();
    else socket.resume();
  }

  #finishIfBothEnded(): void {
    if (!this.#hasAppEnded || !this.#exchange.isRequestWhole) return;
    this.#timer?.stop();
    this.#exchange.finishSpliced();
  }

  #onIdle(): void {
    if (this.#answer?.isPaused === true || this.#socket?.isPaused() === true) return;
    this.#end(() => this.#exchange.fail(ResetCode.UpstreamTimeout, "nothing moved for too long"));
  }

  #end(settle: () => void): void {
    this.#timer?.stop();
    settle();
    if (this.#socket === undefined) this.#request.destroy();
    else breakOff(this.#socket);
  }
}

/** Upgrade and Connection belong to this hop too: it asks for the same switch. */
function upgradeFields(received: HeaderList, authority: string): string[] {
  const fields = removeHopByHop(received, { keepUpgrade: true });
  if (getField(fields, "connection") === undefined) fields.push("Connection", "Upgrade");
  if (getField(fields, "host") === undefined) fields.unshift("Host", authority);
  return fields;
}
