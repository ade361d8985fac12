import { type ErrorCode, getField, type HttpOpenHead } from "@ggrok/protocol";
import type { ExchangeEnd, ExchangeTap } from "../forward/exchange-tap.ts";
import { BodyCollector, type BodyRules, type CollectedBody } from "./body-collector.ts";
import { EventStreamReader } from "./event-stream-reader.ts";
import {
  type DraftBodies,
  type DraftRecord,
  type ExchangeKind,
  type HeaderPairs,
  Outcome,
  type RecordedBody,
  type RecordedInformational,
  type RecordedMessage,
  type RecordedRequest,
  type RecordedResponse,
} from "./exchange-record.ts";
import { INSPECTOR_LIMITS } from "./limits.ts";
import { MessageLog } from "./message-log.ts";
import { EMPTY_BODY, type KeptBody, keepBody } from "./recorded-body.ts";
import type { Redactor } from "./redact.ts";
import type { Unseen } from "./unseen.ts";
import { WebSocketReader } from "./websocket-reader.ts";

const NONE: HeaderPairs = [];
const NOTHING: CollectedBody = { size: 0, sha256: undefined, content: undefined };
const NO_BODIES: DraftBodies = { request: undefined, response: undefined };

/** Where captures go. */
export interface CaptureSink {
  readonly bodies: BodyRules;
  readonly redactor: Redactor;
  /** An exchange that goes on is to be shown: a long-lived one begins, or one that is shown already has a head now. */
  onOpen(capture: Capture): void;
  /** Messages wait to be taken. */
  onMessages(capture: Capture): void;
  /** The exchange is over and everything of it known. */
  onRecord(capture: Capture): void;
  /** There was no room for it. */
  onDropped(capture: Capture): void;
}

/**
 * One exchange as it passes: takes note and lets everything by. What costs time happens after the end, or in the recorder's own
 * turn. A state machine that reads better whole.
 */
export class Capture implements ExchangeTap, Unseen {
  readonly tunnel: string;
  /** Under what the store has it, once it is there. */
  stored: { readonly id: string; readonly seq: number } | undefined;
  unseenSlot = -1;
  readonly #sink: CaptureSink;
  readonly #head: HttpOpenHead;
  readonly #receivedAt = Date.now();
  readonly #startedAt = performance.now();
  #kind: ExchangeKind = "http";
  #request: BodyCollector | undefined;
  #requestTrailers = NONE;
  #isRequestWhole = false;
  #informational: RecordedInformational[] | undefined;
  #status = 0;
  #reason = "";
  #fields = NONE;
  #response: BodyCollector | undefined;
  #responseTrailers = NONE;
  #collected: { readonly request: CollectedBody; readonly response: CollectedBody } | undefined;
  #kept: { readonly request: RecordedBody; readonly response: RecordedBody } | undefined;
  #toAppAt = -1;
  #fromAppAt = -1;
  #endAt = -1;
  #end: ExchangeEnd | undefined;
  #isDropped = false;
  #bytesIn = 0;
  #bytesOut = 0;
  #messages: MessageLog | undefined;
  #frames: { in: WebSocketReader; out: WebSocketReader } | undefined;
  #events: EventStreamReader | undefined;

  constructor(sink: CaptureSink, tunnel: string, head: HttpOpenHead) {
    this.#sink = sink;
    this.tunnel = tunnel;
    this.#head = head;
  }

  /** The request id. */
  get id(): string {
    return this.#head.requestId;
  }

  /** When it came, by the clock of `performance.now()`. */
  get startedAt(): number {
    return this.#startedAt;
  }

  /** Nothing follows, though a file may still be written. */
  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  /** Recorded from its head on, since it may last for days. */
  get isLong(): boolean {
    return this.#kind !== "http";
  }

  // ---- what passes

  onDispatched(): void {
    if (this.#toAppAt < 0) this.#toAppAt = performance.now();
  }

  onRequestData(chunk: Buffer): void {
    if (this.#isDropped) return;
    if (this.#status === 101) {
      this.#bytesIn += chunk.length;
      this.#frames?.in.push(chunk);
      return;
    }
    this.#request ??= new BodyCollector(this.#sink.bodies);
    this.#collect(this.#request, this.#head.fields, chunk);
  }

  onRequestTrailers(fields: HeaderPairs): void {
    this.#requestTrailers = fields;
  }

  onRequestEnd(): void {
    this.#isRequestWhole = true;
    if (this.#isDropped) return;
    if (this.#request?.isSpooled !== true) {
      this.#showAgain();
      return;
    }
    this.#request.finish((body) => {
      if (body === undefined) this.drop();
      else this.#showAgain();
    });
  }

  onInformational(status: number, reason: string, fields: HeaderPairs): void {
    if (this.#fromAppAt < 0) this.#fromAppAt = performance.now();
    this.#informational ??= [];
    this.#informational.push({ status, reason, fields });
  }

  onResponseHead(status: number, reason: string, fields: HeaderPairs): void {
    if (this.#fromAppAt < 0) this.#fromAppAt = performance.now();
    this.#status = status;
    this.#reason = reason;
    this.#fields = fields;
    if (this.#isDropped) return;
    if (status === 101) this.#startUpgraded();
    else if (isEventStream(fields)) this.#startEvents();
    if (this.isLong || this.stored !== undefined) this.#sink.onOpen(this);
  }

  onResponseData(chunk: Buffer): void {
    if (this.#isDropped) return;
    if (this.#status === 101) {
      this.#bytesOut += chunk.length;
      this.#frames?.out.push(chunk);
      return;
    }
    this.#response ??= new BodyCollector(this.#sink.bodies);
    this.#collect(this.#response, this.#fields, chunk);
    this.#events?.push(chunk);
  }

  onResponseTrailers(fields: HeaderPairs): void {
    this.#responseTrailers = fields;
  }

  onEnd(end: ExchangeEnd): void {
    this.#endAt = performance.now();
    this.#end = end;
    if (this.#isDropped) return;
    if (this.#request !== undefined || this.#response !== undefined || !end.isRequestWhole || end.error !== undefined) {
      this.#finishBodies();
    } else if (this.#messages !== undefined) {
      this.#endMessages();
    } else {
      this.#sink.onRecord(this);
    }
  }

  // ---- what the recorder asks for

  /** What is known now. */
  describe(url: string): DraftRecord {
    const head = this.#head;
    const client = head.meta?.client;
    const error = this.#end?.error;
    const request = this.#describeRequest();
    return {
      id: head.requestId,
      tunnel: this.tunnel,
      url,
      kind: this.#kind,
      ...(client !== undefined && { client }),
      request,
      ...(this.#status > 0 && { response: this.#describeResponse() }),
      timings: {
        receivedAt: this.#receivedAt,
        ...(this.#toAppAt >= 0 && { firstByteToAppMs: this.#since(this.#toAppAt) }),
        ...(this.#fromAppAt >= 0 && { firstByteFromAppMs: this.#since(this.#fromAppAt) }),
        endMs: this.#since(this.#endAt < 0 ? performance.now() : this.#endAt),
      },
      outcome: outcomeOf(this.#end),
      ...(error !== undefined && { error }),
      isReplayable: head.kind === "http" && this.#isAsItCame(request),
      messages: 0,
    };
  }

  /** What is to be written of the bodies; from then on it is described. Before the end: the request as far as it came. */
  keepBodies(): DraftBodies {
    this.#kept = undefined;
    if (this.#end === undefined) return this.#keepOpenBodies();
    if (this.#collected === undefined) return NO_BODIES;
    const { redactor } = this.#sink;
    const { error, isRequestWhole } = this.#end;
    const isAnswerWhole = error === undefined || this.#status === 0;
    const request = keepBody(redactor, this.#head.fields, this.#collected.request, isRequestWhole);
    const response = keepBody(redactor, this.#fields, this.#collected.response, isAnswerWhole);
    return this.#keep(request, response);
  }

  /** Bytes of the bodies that are in memory until then. */
  get bodyBytes(): number {
    const { request, response } = this.#collected ?? {};
    return memoryBytes(request?.content) + memoryBytes(response?.content);
  }

  /** The messages that came since the last call, as far as they are known. */
  takeMessages(): RecordedMessage[] {
    return this.#messages?.take() ?? [];
  }

  /** Gives up: nothing of this exchange is recorded. */
  drop(): void {
    if (this.#isDropped) return;
    this.discard();
    this.#sink.onDropped(this);
  }

  /** Lets go of everything and takes nothing any more. */
  discard(): void {
    this.#isDropped = true;
    this.#request?.discard();
    this.#response?.discard();
    this.#closeFrames();
    this.takeMessages();
  }

  // ---- inside

  #collect(collector: BodyCollector, fields: HeaderPairs, chunk: Buffer): void {
    const { redactor } = this.#sink;
    if (!redactor.isIdle && !collector.isSpooled) {
      const fate = redactor.judge(fields, collector.size === 0 ? chunk : collector.head);
      if (fate !== "keep") collector.stayInMemory();
      if (fate === "withhold" || (fate === "rewrite" && collector.size > INSPECTOR_LIMITS.REDACT_BYTES_MAX)) {
        collector.keepNothing();
      }
    }
    if (!collector.push(chunk)) this.drop();
  }

  /** What goes on was shown as far as it had come. */
  #showAgain(): void {
    if (this.stored !== undefined && !this.#isDropped && !this.hasEnded) this.#sink.onOpen(this);
  }

  #keepOpenBodies(): DraftBodies {
    const { fields } = this.#head;
    const collected = this.#request?.soFar ?? NOTHING;
    const isWhole = this.#isRequestWhole || Number(getField(fields, "content-length") ?? 0) === collected.size;
    const request = keepBody(this.#sink.redactor, fields, collected, isWhole);
    const body = { size: this.#response?.size ?? 0, sha256: "", isStored: false, isPartial: true };
    return this.#keep(request, { body, content: undefined });
  }

  /** The bytes are the store's from here on: held here as well, they would count for nobody. */
  #keep(request: KeptBody, response: KeptBody): DraftBodies {
    this.#kept = { request: request.body, response: response.body };
    return { request: request.content, response: response.content };
  }

  #finishBodies(): void {
    finish(this.#request, (request) => {
      finish(this.#response, (response) => {
        if (request === undefined || response === undefined) {
          this.drop();
          return;
        }
        this.#collected = { request, response };
        if (this.#messages !== undefined) this.#endMessages();
        else this.#sink.onRecord(this);
      });
    });
  }

  /** The record comes after the last message, which may still be with the decompressor. */
  #endMessages(): void {
    this.#onSettled = () => {
      if (this.#messages?.isSettled !== true) return;
      this.#onSettled = undefined;
      this.#closeFrames();
      this.#sink.onRecord(this);
    };
    this.#onSettled();
  }

  #onSettled: (() => void) | undefined;

  #closeFrames(): void {
    this.#frames?.in.close();
    this.#frames?.out.close();
  }

  #startUpgraded(): void {
    const upgrade = getField(this.#fields, "upgrade") ?? "";
    this.#kind = upgrade.toLowerCase() === "websocket" ? "websocket" : "upgrade";
    if (this.#kind === "upgrade") return;
    const extensions = getField(this.#fields, "sec-websocket-extensions") ?? "";
    const isCompressed = /(?:^|,)\s*permessage-deflate\b/i.test(extensions);
    const maxBytes = INSPECTOR_LIMITS.MESSAGE_BYTES_MAX;
    const log = this.#openLog();
    this.#frames = {
      in: new WebSocketReader({ maxBytes, isCompressed, onMessage: log.open("in") }),
      out: new WebSocketReader({ maxBytes, isCompressed, onMessage: log.open("out") }),
    };
  }

  #startEvents(): void {
    this.#kind = "sse";
    const encoding = getField(this.#fields, "content-encoding") ?? "";
    // Compressed events are left to the body.
    if (encoding !== "" && encoding.toLowerCase() !== "identity") return;
    const place = this.#openLog().open("out");
    this.#events = new EventStreamReader(INSPECTOR_LIMITS.MESSAGE_BYTES_MAX, (data, size) => {
      place()({ opcode: "event", data, size, isWhole: data.length === size });
    });
  }

  #openLog(): MessageLog {
    const log = new MessageLog({
      ledger: this.#sink.bodies.ledger,
      redactor: this.#sink.redactor,
      onSettled: () => {
        if (this.#isDropped) return;
        this.#sink.onMessages(this);
        this.#onSettled?.();
      },
    });
    this.#messages = log;
    return log;
  }

  #describeRequest(): RecordedRequest {
    const { redactor } = this.#sink;
    const { method, target, version, fields } = this.#head;
    return {
      method,
      target: redactor.target(target),
      version,
      fields: redactor.fields(fields),
      trailers: redactor.fields(this.#requestTrailers),
      body: this.#status === 101 ? countedBody(this.#bytesIn) : (this.#kept?.request ?? EMPTY_BODY),
    };
  }

  #describeResponse(): RecordedResponse {
    const { redactor } = this.#sink;
    return {
      status: this.#status,
      reason: this.#reason,
      fields: redactor.fields(this.#fields),
      trailers: redactor.fields(this.#responseTrailers),
      body: this.#status === 101 ? countedBody(this.#bytesOut) : (this.#kept?.response ?? EMPTY_BODY),
      informational:
        this.#informational === undefined
          ? []
          : this.#informational.map((i) => ({ ...i, fields: redactor.fields(i.fields) })),
    };
  }

  #isAsItCame(request: RecordedRequest): boolean {
    const { body, target, fields } = request;
    if (!body.isStored || body.isPartial === true || body.isRedacted === true) return false;
    if (this.#sink.redactor.isIdle) return true;
    return target === this.#head.target && fields.every((part, i) => part === this.#head.fields[i]);
  }

  /** Milliseconds with three digits: what the clock is good for. */
  #since(at: number): number {
    return Math.round((at - this.#startedAt) * 1_000) / 1_000;
  }
}

/** Bytes of an upgraded connection: counted, not kept. */
function countedBody(size: number): RecordedBody {
  return { size, sha256: "", isStored: false };
}

/** Most requests have no body. */
function finish(collector: BodyCollector | undefined, onDone: (body: CollectedBody | undefined) => void): void {
  if (collector === undefined) onDone(NOTHING);
  else collector.finish(onDone);
}

function memoryBytes(content: CollectedBody["content"]): number {
  return Buffer.isBuffer(content) ? content.length : 0;
}

function isEventStream(fields: HeaderPairs): boolean {
  const type = getField(fields, "content-type");
  return type !== undefined && /^\s*text\/event-stream\b/i.test(type);
}

const OUTCOMES: Partial<Record<ErrorCode, Outcome>> = {
  ERR_GGROK_UPSTREAM_REFUSED: Outcome.Refused,
  ERR_GGROK_UPSTREAM_RESET: Outcome.AppReset,
  ERR_GGROK_UPSTREAM_TIMEOUT: Outcome.TimedOut,
};

function outcomeOf(end: ExchangeEnd | undefined): Outcome {
  if (end === undefined) return Outcome.Open;
  if (end.error === undefined) return Outcome.Complete;
  return end.isAbandoned ? Outcome.VisitorLeft : (OUTCOMES[end.error] ?? Outcome.Failed);
}
