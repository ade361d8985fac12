import {
  type ErrorCode,
  errorCodeOfReset,
  type HeaderList,
  type HttpOpenHead,
  type MuxStream,
  ResetCode,
  removeHopByHop,
  type StreamReset,
} from "@ggrok/protocol";
import type { ExchangeTap, OpenTap } from "./exchange-tap.ts";
import { errorCode, resetCodeOfError } from "./failure.ts";
import type { HeldAnswer } from "./held-answer.ts";
import type { HostSignature } from "./host-signature.ts";
import { FORWARD_LIMITS } from "./limits.ts";

/** What the screen, the JSON lines and the inspector hear of an exchange. */
export interface ExchangeEvent {
  readonly phase: "start" | "end";
  /** The request's id, the same on the relay's side. */
  readonly id: string;
  readonly tunnel: string;
  readonly method: string;
  /** The request-target as the visitor sent it. */
  readonly path: string;
  /** The visitor's address, as the relay saw it. */
  readonly client?: string;
  /** From here on only at the end. `status` is missing when no final answer came. */
  readonly status?: number;
  readonly durationMs?: number;
  /** Body bytes from the visitor. */
  readonly bytesIn?: number;
  /** Body bytes of the answer. */
  readonly bytesOut?: number;
  /** Why the exchange did not end well. */
  readonly error?: ErrorCode;
}

/** Who counts a tunnel's exchanges and hears of them. */
export interface ExchangeOwner {
  readonly tunnel: string;
  readonly onEvent: ((event: ExchangeEvent) => void) | undefined;
  readonly openTap: OpenTap | undefined;
  onDone(exchange: Exchange): void;
}

/** The head of an answer that is kept back. */
export interface HeldHead {
  readonly status: number;
  readonly reason: string;
  readonly rawFields: HeaderList;
}

/** Stands between the app's final answer and the visitor. */
export interface AnswerEditor {
  /** Keeps an answer back until more of it is known; undefined: it goes on. */
  hold?(exchange: Exchange, head: HeldHead): HeldAnswer | undefined;
  /** True: the answer was none, but the exchange begins anew. */
  rescue?(exchange: Exchange, error: Error): boolean;
  /** The app switches protocols; its fields pass as they are. */
  onSwitching?(): void;
  /** The fields for the visitor. */
  edit(fields: HeaderList, status: number): HeaderList;
}

/**
 * What the ways to the app share: the stream's answering half, the counts, and one end. The reading half and the connection
 * belong to the way that was chosen.
 */
export class Exchange {
  readonly stream: MuxStream;
  readonly head: HttpOpenHead;
  bytesIn = 0;
  bytesOut = 0;
  /** The visitor's body has been taken to its end. */
  isRequestWhole: boolean;
  /** Where the exchange stands among its owner's: used by the owner alone. */
  place = -1;
  /** What becomes of the answer; undefined: it passes as it is. */
  editor: AnswerEditor | undefined;
  /** Set when the app refused the host and the exchange goes to it a second time, under the local one. */
  hostRetry: HostSignature | undefined;

  readonly #owner: ExchangeOwner;
  readonly #tap: ExchangeTap | undefined;
  #startedAt = 0;
  #status: number | undefined;
  #informationalHeads = 0;
  #isDone = false;
  #held: HeldAnswer | undefined;

  constructor(owner: ExchangeOwner, stream: MuxStream, head: HttpOpenHead, isRequestWhole: boolean) {
    this.stream = stream;
    this.head = head;
    this.isRequestWhole = isRequestWhole;
    this.#owner = owner;
    this.#tap = owner.openTap === undefined ? undefined : owner.openTap(head);
    if (owner.onEvent === undefined) return;
    this.#startedAt = performance.now();
    owner.onEvent(this.#describe("start"));
  }

  /** Ended, well or not: nothing may be sent any more. */
  get isDone(): boolean {
    return this.#isDone;
  }
  /** A final head has been sent. */
  get isAnswered(): boolean {
    return this.#status !== undefined;
  }

  /** The request has a connection to the app: from now on the app may have acted on it. */
  markDispatched(): void {
    this.stream.dispatched = true;
    this.#tap?.onDispatched();
  }

  /** Counts what the visitor sent. */
  take(chunk: Buffer): void {
    this.bytesIn += chunk.length;
    if (this.#tap !== undefined && !this.#isDone && chunk.length > 0) this.#tap.onRequestData(chunk);
  }

  /** The visitor's body has ended with trailers. */
  takeTrailers(fields: HeaderList): void {
    this.#tap?.onRequestTrailers(fields);
  }

  /** The visitor's body has ended. */
  endRequest(): void {
    this.isRequestWhole = true;
    this.#tap?.onRequestEnd();
  }

  /** Passes an interim answer on without its hop-by-hop fields. */
  sendInformational(status: number, reason: string, rawFields: HeaderList): void {
    if (this.#isDone || this.isAnswered || ++this.#informationalHeads > FORWARD_LIMITS.INFORMATIONAL_HEADS_MAX) return;
    this.#tap?.onInformational(status, reason, rawFields);
    this.stream.sendHead({ status, reason, fields: removeHopByHop(rawFields) });
  }

  /** Sends the final head without its hop-by-hop fields. @returns false when it was too large and the exchange failed */
  sendHead(status: number, reason: string, rawFields: HeaderList): boolean {
    if (this.#isDone) return false;
    const { editor } = this;
    if (editor?.hold !== undefined) {
      this.#held = editor.hold(this, { status, reason, rawFields });
      if (this.#held !== undefined) return true;
    }
    const endToEnd = removeHopByHop(rawFields);
    const fields = editor === undefined ? endToEnd : editor.edit(endToEnd, status);
    const count = fields.length / 2;
    if (count > FORWARD_LIMITS.RESPONSE_FIELDS_MAX) {
      this.fail(
        ResetCode.UpstreamMalformed,
        `the answer has ${count} fields, ${FORWARD_LIMITS.RESPONSE_FIELDS_MAX} are allowed`,
      );
      return false;
    }
    this.#status = status;
    this.#tap?.onResponseHead(status, reason, rawFields);
    this.stream.sendHead({ status, reason, fields });
    return true;
  }

  /** Sends the 101 with its fields as they are: Upgrade and Connection are the answer here. */
  sendSwitching(reason: string, rawFields: HeaderList): void {
    this.#status = 101;
    this.editor?.onSwitching?.();
    this.#tap?.onResponseHead(101, reason, rawFields);
    this.stream.sendHead({ status: 101, reason, fields: rawFields });
  }

  /** @returns false when the stream is full; its `onDrain` follows */
  write(chunk: Buffer): boolean {
    if (this.#held !== undefined) return this.#held.write(chunk);
    this.bytesOut += chunk.length;
    if (this.#tap !== undefined && !this.#isDone) this.#tap.onResponseData(chunk);
    return this.stream.write(chunk);
  }

  /** The answer is whole. What the visitor still sends is not wanted. */
  finish(rawTrailers: HeaderList): void {
    if (this.#isDone) return;
    if (this.#held !== undefined) {
      this.#held.finish(rawTrailers);
      return;
    }
    const trailers = rawTrailers.length === 0 ? rawTrailers : removeHopByHop(rawTrailers);
    if (trailers.length > 0) this.#tap?.onResponseTrailers(rawTrailers);
    if (trailers.length > 0 && trailers.length <= 2 * FORWARD_LIMITS.RESPONSE_FIELDS_MAX) {
      this.stream.sendTrailers(trailers);
    } else {
      this.stream.end();
    }
    if (!this.isRequestWhole) this.stream.reset(ResetCode.StopSending);
    this.#settle(undefined);
  }

  /** What was kept back is sent now, or never: the next answer goes its way. */
  dropHeld(): void {
    this.#held = undefined;
  }

  /** Both directions of an upgraded connection have ended. */
  finishSpliced(): void {
    if (!this.#isDone) this.#settle(undefined);
  }

  /** Ends the stream with the reason, which the relay turns into an answer or a broken transfer. */
  fail(code: ResetCode, message: string, o: { notProcessed?: boolean } = {}): void {
    if (this.#isDone) return;
    this.stream.reset(code, { message, ...(o.notProcessed === true && { notProcessed: true }) });
    this.#settle(errorCodeOfReset(code));
  }

  /** As {@link fail}, with the meaning of an error of the HTTP client. */
  failWith(error: unknown): void {
    const code = errorCode(error);
    // What undici says of a head that it cannot read and that names a length; behind a head the body was cut short.
    const isBrokenHead = code === "UND_ERR_RES_CONTENT_LENGTH_MISMATCH" && !this.isAnswered;
    this.fail(isBrokenHead ? ResetCode.UpstreamMalformed : resetCodeOfError(error), code);
  }

  /** The visitor or the session has gone; the stream knows already. */
  abandon(reset: StreamReset): void {
    if (!this.#isDone) this.#settle(errorCodeOfReset(reset.code), true);
  }

  #settle(error: ErrorCode | undefined, isAbandoned = false): void {
    this.#isDone = true;
    const owner = this.#owner;
    this.#tap?.onEnd({ error, isAbandoned, isRequestWhole: this.isRequestWhole });
    if (owner.onEvent !== undefined) {
      const event = this.#describe("end");
      if (this.#status !== undefined) event.status = this.#status;
      event.durationMs = performance.now() - this.#startedAt;
      event.bytesIn = this.bytesIn;
      event.bytesOut = this.bytesOut;
      if (error !== undefined) event.error = error;
      owner.onEvent(event);
    }
    owner.onDone(this);
  }

  #describe(phase: "start" | "end"): Draft<ExchangeEvent> {
    const { requestId, method, target, meta } = this.head;
    const event: Draft<ExchangeEvent> = { phase, id: requestId, tunnel: this.#owner.tunnel, method, path: target };
    if (meta?.client !== undefined) event.client = meta.client;
    return event;
  }
}

type Draft<T> = { -readonly [K in keyof T]: T[K] };
