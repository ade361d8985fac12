import {
  errorCodeOfReset,
  getField,
  type HeaderList,
  type HttpOpenHead,
  type MuxStream,
  ResetCode,
  type StreamHandler,
  type StreamReset,
} from "@ggrok/protocol";
import type { ExchangeEvent } from "../forward/exchange.ts";
import type { ExchangeTap, OpenTap } from "../forward/exchange-tap.ts";
import type { Forwarder } from "../forward/forwarder.ts";
import { WEBHOOK_BODY_BYTES_MAX, type WebhookVerifier } from "./verifier.ts";

/** Bytes of all bodies of a tunnel that wait for their signature: memory of this machine, which anyone on the internet fills. */
const GATE_HELD_BYTES_MAX = 67_108_864;

/** What a gate is made of. */
export interface WebhookGateOptions {
  readonly tunnel: string;
  readonly verifier: WebhookVerifier;
  /** What gets the requests whose signature is valid. */
  readonly forwarder: Forwarder;
  /** Public URL of the tunnel, once it has one. */
  readonly url: () => string | undefined;
  /** Hears of requests that were refused; of the others the forwarder tells. */
  readonly openTap?: OpenTap;
  readonly onExchange?: (event: ExchangeEvent) => void;
}

/**
 * Stands before a forwarder and lets signed webhooks by: the body is taken in whole, judged, and only then does the app see
 * anything of the request.
 */
export class WebhookGate implements Forwarder {
  readonly #o: WebhookGateOptions;
  readonly #held = new Set<HeldRequest>();
  #heldBytes = 0;
  #isClosed = false;
  #onEmpty: (() => void) | undefined;

  constructor(options: WebhookGateOptions) {
    this.#o = options;
  }

  get openExchanges(): number {
    return this.#held.size + this.#o.forwarder.openExchanges;
  }

  onStream(stream: MuxStream, head: HttpOpenHead, fin: boolean): void {
    if (this.#isClosed) {
      stream.reset(ResetCode.Draining, { notProcessed: true });
      return;
    }
    const held = new HeldRequest(this, stream, head);
    this.#held.add(held);
    held.begin(fin);
  }

  /** Takes note of bytes that wait. @returns false when there are too many */
  hold(bytes: number): boolean {
    this.#heldBytes += bytes;
    return this.#heldBytes <= GATE_HELD_BYTES_MAX;
  }

  /** The request has come to its end: on it goes, or back. */
  judge(held: HeldRequest): void {
    const { head, body } = held;
    const { verifier, forwarder, url } = this.#o;
    const address = url();
    const { target, fields } = head;
    const nowMs = Date.now();
    const { verdict, reason } = verifier.judge({
      target,
      fields,
      body,
      nowMs,
      ...(address !== undefined && { url: address }),
    });
    if (verdict !== "valid") {
      this.refuse(held, ResetCode.SignatureInvalid, reason);
      return;
    }
    this.#let(held);
    held.handOver(forwarder);
  }

  /** Ends a request of which the app has seen nothing. */
  refuse(held: HeldRequest, code: ResetCode, message: string): void {
    held.stream.reset(code, { message: message.slice(0, 120) });
    this.drop(held, code, false);
  }

  /** A request has ended before it could be handed on. */
  drop(held: HeldRequest, code: ResetCode, isAbandoned: boolean): void {
    this.#let(held);
    const { head, startedAt, body } = held;
    const error = errorCodeOfReset(code);
    const tap = this.#openTap(head);
    if (body.length > 0) tap?.onRequestData(body);
    if (held.trailers.length > 0) tap?.onRequestTrailers(held.trailers);
    tap?.onEnd({ error, isAbandoned, isRequestWhole: held.isWhole });
    const { onExchange, tunnel } = this.#o;
    if (onExchange === undefined) return;
    const { requestId: id, method, target: path, meta } = head;
    const client = meta?.client;
    const event = { id, tunnel, method, path, ...(client !== undefined && { client }) };
    onExchange({ ...event, phase: "start" });
    const durationMs = performance.now() - startedAt;
    onExchange({ ...event, phase: "end", durationMs, bytesIn: body.length, bytesOut: 0, error });
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
      this.#tellIfEmpty();
    });
    await this.#o.forwarder.close();
  }

  destroy(): void {
    this.#isClosed = true;
    for (const held of [...this.#held]) this.refuse(held, ResetCode.Draining, "the agent stopped");
    this.#o.forwarder.destroy();
  }

  #let(held: HeldRequest): void {
    this.#held.delete(held);
    this.#heldBytes -= held.heldBytes;
    this.#tellIfEmpty();
  }

  #tellIfEmpty(): void {
    if (this.#held.size === 0) this.#onEmpty?.();
  }

  #openTap(head: HttpOpenHead): ExchangeTap | undefined {
    return this.#o.openTap?.(head);
  }
}

/** One request while its body is taken in. */
class HeldRequest implements StreamHandler {
  readonly stream: MuxStream;
  readonly head: HttpOpenHead;
  readonly startedAt = performance.now();
  heldBytes = 0;
  isWhole = false;
  trailers: HeaderList = [];
  readonly #gate: WebhookGate;
  readonly #chunks: Buffer[] = [];

  constructor(gate: WebhookGate, stream: MuxStream, head: HttpOpenHead) {
    this.#gate = gate;
    this.stream = stream;
    this.head = head;
  }

  get body(): Buffer {
    if (this.#chunks.length > 1) this.#chunks.splice(0, this.#chunks.length, Buffer.concat(this.#chunks));
    return this.#chunks[0] ?? Buffer.alloc(0);
  }

  begin(fin: boolean): void {
    this.stream.handler = this;
    const { fields } = this.head;
    const announced = Number(getField(fields, "content-length") ?? 0);
    if (announced > WEBHOOK_BODY_BYTES_MAX) this.#refuseSize(announced);
    // An upgrade has no body, and what follows it is no part of the request.
    else if (fin || this.head.kind === "upgrade") this.#finish(fin);
    else if (/^\s*100-continue\s*$/i.test(getField(fields, "expect") ?? "")) {
      // The sender waits for a word from the app, which hears of the request only when all of it is here.
      this.stream.sendHead({ status: 100, reason: "Continue", fields: [] });
    }
  }

  onData(chunk: Buffer, fin: boolean): boolean {
    this.#chunks.push(chunk);
    this.heldBytes += chunk.length;
    const hasRoom = this.#gate.hold(chunk.length);
    if (this.heldBytes > WEBHOOK_BODY_BYTES_MAX) this.#refuseSize(this.heldBytes);
    else if (!hasRoom) this.#gate.refuse(this, ResetCode.Overload, "too many webhooks wait for their signature");
    else if (fin) this.#finish(true);
    return true;
  }

  onTrailers(fields: HeaderList): void {
    this.trailers = fields;
    this.#finish(true);
  }

  onReset({ code }: StreamReset): void {
    this.#gate.drop(this, code, true);
  }

  onDrain(): void {}

  /** Gives the whole request to the one that knows the app. */
  handOver(forwarder: Forwarder): void {
    const { stream, head, body, trailers } = this;
    const isBodyless = head.kind !== "upgrade" && body.length === 0 && trailers.length === 0;
    forwarder.onStream(stream, head, isBodyless || (head.kind === "upgrade" && this.isWhole));
    if (head.kind === "upgrade" || isBodyless) return;
    const { handler } = stream;
    if (body.length > 0) handler.onData(body, trailers.length === 0);
    if (trailers.length > 0) handler.onTrailers(trailers);
  }

  #finish(isWhole: boolean): void {
    this.isWhole = isWhole;
    this.#gate.judge(this);
  }

  #refuseSize(bytes: number): void {
    this.#gate.refuse(
      this,
      ResetCode.BodyTooLarge,
      `the body has ${bytes} bytes or more, ${WEBHOOK_BODY_BYTES_MAX} are checked`,
    );
  }
}
