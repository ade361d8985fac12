import { type IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import {
  type ErrorCode,
  errorCodeOfReset,
  type HeaderList,
  type MuxStream,
  ResetCode,
  type ResponseHead,
  type StreamHandler,
  type StreamReset,
} from "@ggrok/protocol";
import { RELAY_LIMITS } from "../limits.ts";
import type { Route } from "../registry/route.ts";
import type { IngressContext } from "./context.ts";
import { Dispatcher, type RefusalDetails } from "./dispatcher.ts";
import { errorAnswerBytes } from "./error-page.ts";
import type { RequestHead } from "./request-head.ts";
import { ResetProbe } from "./reset-probe.ts";
import { Answer } from "./response.ts";
import { interimFields, rawHead, switchingFields } from "./response-head.ts";
import { closeGently, ignore } from "./sockets.ts";
import { Splice } from "./splice.ts";

/**
 * A request to change the protocol. Until the app agrees the visitor's early bytes wait; a 101 joins the two ends for
 * good, any other answer is an ordinary one and the connection closes behind it.
 */
export class UpgradeExchange implements StreamHandler {
  readonly #context: IngressContext;
  readonly #req: IncomingMessage;
  readonly #socket: Socket;
  readonly #head: RequestHead;
  readonly #route: Route;
  readonly #dispatcher: Dispatcher;
  readonly #startedAt = performance.now();
  readonly #onEarly = (chunk: Buffer): void => this.#keepEarly(chunk);
  readonly #onEarlyEnd = (): void => this.#leave();

  #early: Buffer[] = [];
  #earlyBytes = 0;
  #stream: MuxStream | undefined;
  #switching: string | undefined;
  #splice: Splice | undefined;
  #answer: Answer | undefined;
  #hasInformed = false;
  #status = 0;
  #code: ErrorCode | undefined;
  #firstByteMs: number | undefined;
  #isClosed = false;

  constructor(
    context: IngressContext,
    req: IncomingMessage,
    socket: Socket,
    early: Buffer,
    head: RequestHead,
    route: Route,
  ) {
    this.#context = context;
    this.#req = req;
    this.#socket = socket;
    this.#head = head;
    this.#route = route;
    this.#dispatcher = new Dispatcher(context, route, head, this);
    if (early.length > 0) this.#keepEarly(early);
  }

  /** Sends the request on its way. Called once. */
  start(): void {
    this.#socket.setTimeout(0);
    this.#socket.setNoDelay(true);
    this.#socket.on("error", ignore);
    this.#socket.on("close", () => this.#onClose());
    new ResetProbe(this.#socket, this.#context.stalls);
    // Read, so that a visitor who leaves is noticed; what comes is kept.
    this.#socket.on("data", this.#onEarly);
    this.#socket.on("end", this.#onEarlyEnd);
    this.#dispatcher.open();
  }

  #keepEarly(chunk: Buffer): void {
    this.#early.push(chunk);
    this.#earlyBytes += chunk.length;
    if (this.#earlyBytes >= RELAY_LIMITS.earlyBytes) this.#socket.pause();
  }

  #leave(): void {
    this.#socket.destroy();
  }

  // ---- the dispatcher's side

  get isRequestComplete(): boolean {
    return false;
  }
  get heldBytes(): number {
    return this.#earlyBytes;
  }
  onOpened(stream: MuxStream): void {
    this.#stream = stream;
    if (this.#isClosed) stream.reset(ResetCode.VisitorLeft);
  }
  onWaiting(): void {}
  onRefused(code: ErrorCode, o?: RefusalDetails): void {
    this.#fail(code, o);
  }

  // ---- the agent's side

  onHead(head: ResponseHead, fin: boolean): void {
    if (head.status < 200 && head.status !== 101) {
      this.#hasInformed = true;
      this.#socket.write(rawHead(head, interimFields(head.fields)), "latin1");
      return;
    }
    this.#stopWaiting();
    this.#firstByteMs = performance.now() - this.#startedAt;
    if (head.status === 101) this.#switch(head, fin);
    else this.#respond(head, fin);
  }

  onFlush(): void {
    this.#flushSwitching();
    this.#answer?.flush();
  }

  onData(chunk: Buffer, fin: boolean): boolean {
    if (this.#splice !== undefined) {
      if (this.#switching === undefined) return this.#splice.write(chunk, fin);
      this.#socket.cork();
      this.#flushSwitching();
      const hasRoom = this.#splice.write(chunk, fin);
      this.#socket.uncork();
      return hasRoom;
    }
    const hasRoom = this.#answer?.data(chunk, fin) ?? true;
    if (this.#answer?.isBroken === true) this.#stream?.reset(ResetCode.Protocol);
    return hasRoom;
  }

  onTrailers(fields: HeaderList): void {
    if (this.#splice !== undefined) this.onData(EMPTY, true);
    else this.#answer?.trailers(fields);
  }

  onDrain(): void {
    this.#splice?.drained();
  }

  onReset(reset: StreamReset): void {
    this.#stream = undefined;
    if (this.#isClosed) return;
    if (this.#splice !== undefined || this.#answer !== undefined) {
      this.#code = errorCodeOfReset(reset.code);
      if (this.#splice !== undefined) this.#splice.breakOff();
      else this.#answer?.breakOff();
      return;
    }
    // Nothing of the request but its head was sent.
    const refusal = this.#dispatcher.openAgain(reset, { isBodyWhole: true, hasAnswered: this.#hasInformed });
    if (refusal !== undefined) this.#fail(refusal);
  }

  // ---- inside

  #stopWaiting(): void {
    this.#socket.off("data", this.#onEarly);
    this.#socket.off("end", this.#onEarlyEnd);
  }

  #switch(head: ResponseHead, fin: boolean): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    this.#status = 101;
    // Written with the first bytes behind it, or at the end of the message it came in.
    this.#switching = rawHead(head, switchingFields(head.fields));
    this.#splice = new Splice(this.#socket, stream);
    this.#socket.resume();
    this.#splice.start(this.#early);
    this.#early = [];
    if (fin) this.onData(EMPTY, true);
  }

  #flushSwitching(): void {
    if (this.#switching === undefined) return;
    this.#socket.write(this.#switching, "latin1");
    this.#switching = undefined;
  }

  /** The app answers instead of switching. Nothing of a request is to follow, so the stream's own direction ends too. */
  #respond(head: ResponseHead, fin: boolean): void {
    this.#stream?.end();
    this.#early = [];
    this.#socket.resume();
    const res = new ServerResponse(this.#req);
    res.shouldKeepAlive = false;
    res.assignSocket(this.#socket);
    this.#answer = new Answer(res, this.#head);
    if (!this.#answer.begin(head)) {
      res.detachSocket(this.#socket);
      this.#stream?.reset(ResetCode.Protocol);
      this.#fail("ERR_GGROK_UPSTREAM_MALFORMED");
      return;
    }
    this.#status = head.status;
    this.#socket.on("drain", () => {
      this.#answer?.drained();
      this.#stream?.resume();
    });
    res.on("finish", () => closeGently(this.#socket));
    if (fin) this.onData(EMPTY, true);
  }

  #fail(code: ErrorCode, o?: RefusalDetails): void {
    if (this.#isClosed) return;
    this.#stopWaiting();
    this.#stream = undefined;
    this.#code = code;
    const bytes = errorAnswerBytes(code, this.#req.headers.accept, { requestId: this.#head.requestId, ...o });
    this.#status = Number(bytes.toString("latin1", 9, 12));
    closeGently(this.#socket, bytes);
  }

  #onClose(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#dispatcher.cancel();
    if (this.#splice !== undefined) this.#splice.closed();
    else if (this.#answer?.isEnded !== true) this.#stream?.reset(ResetCode.VisitorLeft);
    this.#context.onEnd({
      id: this.#head.requestId,
      host: this.#head.host,
      method: this.#head.method,
      path: this.#head.target,
      status: this.#status,
      ...(this.#code !== undefined && { code: this.#code }),
      durationMs: performance.now() - this.#startedAt,
      ...(this.#firstByteMs !== undefined && { firstByteMs: this.#firstByteMs }),
      bytesIn: this.#splice?.bytesIn ?? 0,
      bytesOut: this.#splice?.bytesOut ?? this.#answer?.bytes ?? 0,
      client: this.#head.client,
      tunnel: this.#route.url,
    });
  }
}

const EMPTY = Buffer.alloc(0);
