import type { IncomingMessage, ServerResponse } from "node:http";
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
import type { ExchangeRecord } from "../observability/access-log.ts";
import type { Route } from "../registry/route.ts";
import type { IngressContext } from "./context.ts";
import { Dispatcher, type RefusalDetails } from "./dispatcher.ts";
import { sendError } from "./error-page.ts";
import { linger } from "./linger.ts";
import { Progress } from "./progress.ts";
import { ReplayBuffer } from "./replay-buffer.ts";
import type { RequestHead } from "./request-head.ts";
import { probeReset } from "./reset-probe.ts";
import { Answer } from "./response.ts";
import { trailerPasses } from "./response-head.ts";
import { markDead } from "./sockets.ts";
import type { Stallable } from "./stall-watch.ts";

/**
 * One request of a visitor and its answer: one stream, or several in turn when sessions break before it is answered. A
 * state machine that reads better whole.
 *
 * The two directions are independent. Upload: `req` → stream, paused while the stream is full or there is none.
 * Answer: stream → {@link Answer} → `res`. The exchange ends when the response has closed.
 */
export class HttpExchange implements StreamHandler, Stallable {
  readonly #context: IngressContext;
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  readonly #head: RequestHead;
  readonly #route: Route;
  readonly #answer: Answer;
  readonly #dispatcher: Dispatcher;
  readonly #startedAt = performance.now();
  readonly #bodyProgress: Progress | undefined;
  stallSlot = -1;

  #stream: MuxStream | undefined;
  #replay: ReplayBuffer | undefined;
  #trailers: HeaderList | undefined;
  #hasBodyEnded: boolean;
  #isUploadUnwanted = false;
  #bytesIn = 0;
  #readerProgress: Progress | undefined;
  #firstByteTimer: NodeJS.Timeout | undefined;
  #isClosed = false;
  #code: ErrorCode | undefined;
  #firstByteMs: number | undefined;

  constructor(context: IngressContext, req: IncomingMessage, res: ServerResponse, head: RequestHead, route: Route) {
    this.#context = context;
    this.#req = req;
    this.#res = res;
    this.#head = head;
    this.#route = route;
    this.#answer = new Answer(res, head);
    this.#hasBodyEnded = !head.hasBody;
    this.#dispatcher = new Dispatcher(context, route, head, this);
    const { bodyStallMs, bodyStallBytes } = context.stallLimits;
    this.#bodyProgress = head.hasBody ? new Progress(bodyStallMs, bodyStallBytes) : undefined;
  }

  /** Sends the request on its way. Called once. */
  start(): void {
    this.#res.on("close", () => this.#onClose());
    if (this.#head.hasBody) this.#startBody();
    else this.#startFirstByteClock();
    this.#dispatcher.open();
  }

  // ---- the dispatcher's side

  /** Whether the stream can be opened with FIN: nothing of a body will follow OPEN. */
  get isRequestComplete(): boolean {
    return this.#hasBodyEnded && this.#trailers === undefined && (this.#replay?.bytes ?? 0) === 0;
  }

  /** What the request holds while it waits for an agent. */
  get heldBytes(): number {
    return (this.#replay?.bytes ?? 0) + this.#req.readableLength;
  }

  onOpened(stream: MuxStream): void {
    this.#stream = stream;
    if (this.#isClosed) {
      stream.reset(ResetCode.VisitorLeft);
      return;
    }
    if (stream.localEnded) return;
    let hasRoom = true;
    for (const chunk of this.#replay?.chunks ?? []) hasRoom = stream.write(chunk);
    if (this.#hasBodyEnded) this.#endUpload(stream);
    else if (hasRoom) this.#req.resume();
  }

  /** The request waits for an agent: what comes meanwhile stays with the kernel. */
  onWaiting(): void {
    if (!this.#hasBodyEnded) this.#req.pause();
    this.#bodyProgress?.pause();
  }

  onRefused(code: ErrorCode, o?: RefusalDetails): void {
    this.#fail(code, o);
  }

  // ---- the visitor's side

  #startBody(): void {
    this.#replay = new ReplayBuffer(this.#context.replayBudget, RELAY_LIMITS.replayBytes);
    this.#req.on("data", (chunk: Buffer) => this.#onBody(chunk));
    this.#req.on("end", () => this.#onBodyEnd());
    // The listener starts the flow; nothing may flow before there is a stream to take it.
    this.#req.pause();
    this.#context.stalls.add(this);
  }

  #onBody(chunk: Buffer): void {
    this.#bytesIn += chunk.length;
    if (this.#isUploadUnwanted) return;
    this.#replay?.add(chunk);
    if (this.#stream === undefined || !this.#stream.write(chunk)) {
      this.#req.pause();
      this.#bodyProgress?.pause();
    }
  }

  #onBodyEnd(): void {
    this.#hasBodyEnded = true;
    this.#startFirstByteClock();
    if (!this.#answer.isBlocked) this.#context.stalls.remove(this);
    const raw = this.#req.rawTrailers;
    if (raw.length > 0) this.#trailers = passingTrailers(raw);
    if (this.#stream !== undefined && !this.#isUploadUnwanted) this.#endUpload(this.#stream);
  }

  #endUpload(stream: MuxStream): void {
    if (this.#trailers === undefined) stream.end();
    else stream.sendTrailers(this.#trailers);
  }

  /** Where a front end breaks off by itself, the visitor gets our words before it does. */
  #startFirstByteClock(): void {
    if (this.#context.firstByteMs === undefined || this.#answer.hasHead) return;
    this.#firstByteTimer = setTimeout(() => {
      if (this.#answer.hasHead || this.#isClosed) return;
      this.#stream?.reset(ResetCode.VisitorLeft);
      this.#dispatcher.cancel();
      this.#fail("ERR_GGROK_UPSTREAM_TIMEOUT", {
        detail: "The platform in front of the relay waits no longer for the beginning of an answer.",
      });
    }, this.#context.firstByteMs);
  }

  /** The response is out, or the visitor has left. */
  #onClose(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#firstByteTimer);
    this.#dispatcher.cancel();
    this.#replay?.drop();
    const isWhole = this.#res.writableFinished && !this.#answer.isBroken;
    if (!isWhole) this.#stream?.reset(ResetCode.VisitorLeft);
    if (isWhole && !this.#hasBodyEnded) this.#lingerOn();
    else this.#context.stalls.remove(this);
    const record: ExchangeRecord = {
      id: this.#head.requestId,
      host: this.#head.host,
      method: this.#head.method,
      path: this.#head.target,
      status: this.#res.headersSent ? this.#res.statusCode : 0,
      durationMs: performance.now() - this.#startedAt,
      bytesIn: this.#bytesIn,
      bytesOut: this.#answer.bytes,
      client: this.#head.client,
      tunnel: this.#route.url,
    };
    if (this.#code !== undefined) record.code = this.#code;
    if (this.#firstByteMs !== undefined) record.firstByteMs = this.#firstByteMs;
    this.#context.onEnd(record);
  }

  /** The answer is out, the upload is not: it goes on while the app takes it, else it is dropped for a while. */
  #lingerOn(): void {
    if (this.#isUploadUnwanted || this.#stream === undefined || this.#stream.isClosed) {
      this.#context.stalls.remove(this);
      linger(this.#req);
      return;
    }
    // Node forgets a request with its answer, so nothing else says that the rest will not come.
    this.#req.socket.once("close", () => {
      if (this.#hasBodyEnded) return;
      this.#context.stalls.remove(this);
      this.#stream?.reset(ResetCode.VisitorLeft);
    });
  }

  // ---- the agent's side

  onHead(head: ResponseHead, fin: boolean): void {
    this.#replay?.drop();
    if (head.status < 200 && head.status !== 101) {
      this.#answer.inform(head);
      return;
    }
    clearTimeout(this.#firstByteTimer);
    this.#firstByteMs = performance.now() - this.#startedAt;
    if (this.#context.isDraining) this.#res.shouldKeepAlive = false;
    // Nobody asked for another protocol, so a 101 is as much garbage as a head without clear framing.
    if (!this.#answer.begin(head)) {
      this.#stream?.reset(ResetCode.Protocol);
      this.#fail("ERR_GGROK_UPSTREAM_MALFORMED");
      return;
    }
    if (fin) this.onData(EMPTY, true);
  }

  onFlush(): void {
    this.#answer.flush();
  }

  onData(chunk: Buffer, fin: boolean): boolean {
    const mustHold = fin && !this.#hasBodyEnded && this.#holdsEnd();
    const hasRoom = this.#answer.data(chunk, fin && !mustHold);
    if (this.#answer.isBroken) {
      this.#code ??= "ERR_GGROK_UPSTREAM_MALFORMED";
      this.#stream?.reset(ResetCode.Protocol);
      return true;
    }
    if (!hasRoom) this.#waitForReader();
    return hasRoom;
  }

  onTrailers(fields: HeaderList): void {
    this.#answer.trailers(fields);
    if (!this.#answer.isBroken) return;
    this.#code ??= "ERR_GGROK_UPSTREAM_MALFORMED";
    this.#stream?.reset(ResetCode.Protocol);
  }

  onStopSending(): void {
    this.#dropUpload();
  }

  onDrain(): void {
    if (!this.#hasBodyEnded && !this.#isUploadUnwanted) this.#req.resume();
  }

  onReset(reset: StreamReset): void {
    this.#stream = undefined;
    if (this.#isClosed) {
      this.#dropUpload();
      return;
    }
    if (this.#answer.hasHead) {
      this.#code = errorCodeOfReset(reset.code);
      this.#answer.breakOff();
      return;
    }
    const isBodyWhole = this.#replay?.isWhole ?? true;
    const refusal = this.#dispatcher.openAgain(reset, { isBodyWhole, hasAnswered: this.#answer.hasStarted });
    if (refusal !== undefined) this.#fail(refusal);
  }

  // ---- both

  /**
   * An answer in the middle of an upload on a connection that closes behind it: Node would close at once, the unread
   * upload would turn that into a RST, and the visitor might lose the answer. So its end waits for the upload's.
   */
  #holdsEnd(): boolean {
    this.#answer.flush();
    if (this.#res.shouldKeepAlive || this.#bytesIn === 0) return false;
    const endNow = (): void => void this.#answer.data(EMPTY, true);
    // Without a length the visitor knows only by the end that the answer is whole, so it must not wait long.
    const waitMs = this.#answer.hasLength ? RELAY_LIMITS.lingerMs : RELAY_LIMITS.closeLingerMs;
    const timer = setTimeout(endNow, waitMs).unref();
    this.#req.once("end", endNow);
    this.#res.once("close", () => clearTimeout(timer));
    return true;
  }

  #waitForReader(): void {
    if (this.#readerProgress === undefined) {
      this.#readerProgress = new Progress(this.#context.stallLimits.readerStallMs, 1);
      this.#res.on("drain", () => this.#onReaderDrain());
    }
    this.#context.stalls.add(this);
  }

  #onReaderDrain(): void {
    this.#answer.drained();
    this.#readerProgress?.pause();
    if (this.#hasBodyEnded) this.#context.stalls.remove(this);
    this.#stream?.resume();
  }

  checkStall(nowMs: number, isFresh: boolean): void {
    if (isFresh) {
      this.#bodyProgress?.pause();
      this.#readerProgress?.pause();
    }
    if (!this.#hasBodyEnded && !this.#req.isPaused() && (!this.#answer.hasHead || this.#isClosed)) {
      if (this.#bodyProgress?.isStalled(nowMs, this.#bytesIn) === true) this.#onBodyStall();
    } else {
      this.#bodyProgress?.pause();
      // Nothing is read, so nothing else would say that nobody is there any more.
      if (!this.#hasBodyEnded && this.#req.isPaused()) probeReset(this.#req.socket);
    }
    if (!this.#answer.isBlocked) return;
    const { socket } = this.#res;
    if (socket === null) return;
    if (this.#readerProgress?.isStalled(nowMs, socket.bytesWritten - socket.writableLength) === true) socket.destroy();
  }

  #onBodyStall(): void {
    this.#stream?.reset(ResetCode.VisitorLeft);
    if (this.#isClosed) this.#req.destroy();
    else this.#fail("ERR_GGROK_REQUEST_TIMEOUT", { close: true });
  }

  #dropUpload(): void {
    this.#isUploadUnwanted = true;
    this.#replay?.drop();
    if (this.#hasBodyEnded) return;
    this.#req.resume();
    if (this.#isClosed) this.#lingerOn();
  }

  #fail(code: ErrorCode, o: RefusalDetails & { close?: boolean; detail?: string } = {}): void {
    if (this.#isClosed) return;
    this.#stream = undefined;
    this.#code = code;
    if (this.#res.headersSent) {
      this.#answer.breakOff();
      return;
    }
    if (this.#context.isDraining) this.#res.shouldKeepAlive = false;
    if (o.close === true) markDead(this.#req.socket);
    sendError(this.#req, this.#res, code, { requestId: this.#head.requestId, ...o });
    this.#dropUpload();
  }
}

const EMPTY = Buffer.alloc(0);

function passingTrailers(raw: readonly string[]): string[] | undefined {
  const fields: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? "";
    if (trailerPasses(name)) fields.push(name, raw[i + 1] ?? "");
  }
  return fields.length > 0 ? fields : undefined;
}
