import type { HeaderList } from "@ggrok/protocol";
import type { Exchange, HeldHead } from "./exchange.ts";
import { type HostSignature, recogniseRefusal } from "./host-signature.ts";
import { FORWARD_LIMITS } from "./limits.ts";

/** What a held answer needs of its route. */
interface HeldAnswerOptions {
  readonly exchange: Exchange;
  readonly head: HeldHead;
  /** Path of the request, as the app got it. */
  readonly path: string;
  /** Looks the body up that an answer to HEAD does not have. */
  readonly probe: (onBody: (body: Buffer) => void) => void;
  /** It was a refusal of the host: nothing of it reaches the visitor. */
  readonly onRefusal: (signature: HostSignature) => void;
}

/** An answer that may be a refusal of the host: kept until that is known, then dropped or passed on as it is. */
export class HeldAnswer {
  readonly #o: HeldAnswerOptions;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #signature: HostSignature | undefined;

  constructor(options: HeldAnswerOptions) {
    this.#o = options;
  }

  /** @returns false when the visitor's stream is full */
  write(chunk: Buffer): boolean {
    if (this.#signature !== undefined) return true;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes < FORWARD_LIMITS.HELD_ANSWER_BYTES_MAX) return true;
    this.#signature = this.#recognise(Buffer.concat(this.#chunks));
    return this.#signature !== undefined || this.#release();
  }

  finish(rawTrailers: HeaderList): void {
    const { exchange } = this.#o;
    if (exchange.head.method === "HEAD") {
      this.#o.probe((body) => this.#decide(this.#recognise(body), rawTrailers));
    } else {
      this.#decide(this.#signature ?? this.#recognise(Buffer.concat(this.#chunks)), rawTrailers);
    }
  }

  #decide(signature: HostSignature | undefined, rawTrailers: HeaderList): void {
    const { exchange, onRefusal } = this.#o;
    if (exchange.isDone) return;
    if (signature !== undefined) {
      exchange.dropHeld();
      onRefusal(signature);
    } else {
      this.#release();
      exchange.finish(rawTrailers);
    }
  }

  #release(): boolean {
    const { exchange, head } = this.#o;
    exchange.dropHeld();
    let isTaken = exchange.sendHead(head.status, head.reason, head.rawFields);
    for (const chunk of this.#chunks) isTaken = exchange.write(chunk) && isTaken;
    this.#chunks = [];
    return isTaken;
  }

  #recognise(body: Buffer): HostSignature | undefined {
    const { head, path } = this.#o;
    return recogniseRefusal({ status: head.status, path, fields: head.rawFields, body });
  }
}
