import type { ServerResponse } from "node:http";
import type { HeaderList, ResponseHead } from "@ggrok/protocol";
import {
  type AnswerContext,
  interimFields,
  type PreparedHead,
  prepareHead,
  rawHead,
  trailerPasses,
} from "./response-head.ts";
import { breakConnection, closeGently } from "./sockets.ts";

const EMPTY = Buffer.alloc(0);

/**
 * Writes one answer to the visitor: interim heads as they come, the final head together with what comes next, the body
 * by backpressure. It never ends an answer that is not whole: that is what {@link Answer.breakOff} is for.
 */
export class Answer {
  readonly #res: ServerResponse;
  readonly #context: AnswerContext;
  #waiting: PreparedHead | undefined;
  #head: PreparedHead | undefined;
  #hasSentInterim = false;
  #bytes = 0;
  #isBlocked = false;
  #isEnded = false;
  #isBroken = false;

  constructor(res: ServerResponse, context: AnswerContext) {
    this.#res = res;
    this.#context = context;
    // The app's Date passes; without one there is none.
    res.sendDate = false;
    // Node would send chunks to an HTTP/1.0 visitor who says TE: chunked; the version does not have them.
    if (context.version === "1.0") res.useChunkedEncodingByDefault = false;
  }

  /** The app's final head has come. */
  get hasHead(): boolean {
    return this.#head !== undefined;
  }
  /** The visitor has got something. */
  get hasStarted(): boolean {
    return this.#hasSentInterim || this.#head !== undefined;
  }
  /** Everything was handed to the connection. */
  get isEnded(): boolean {
    return this.#isEnded;
  }
  /** The head says how long the body is. */
  get hasLength(): boolean {
    return this.#head?.contentLength !== undefined;
  }
  get isBroken(): boolean {
    return this.#isBroken;
  }
  /** The visitor does not take what waits. */
  get isBlocked(): boolean {
    return this.#isBlocked;
  }
  /** Body bytes of the app's answer. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A 1xx head. 101 is none of these. */
  inform(head: ResponseHead): void {
    if (this.#context.version === "1.0" || this.#head !== undefined || this.#res.headersSent) return;
    this.#hasSentInterim = true;
    if (head.status === 100) {
      // Through Node, which has to know: it closes the connection behind an Expect that nobody answered.
      this.#res.writeContinue();
      return;
    }
    // Node's own ways know only some statuses and fields.
    this.#res.socket?.write(rawHead(head, interimFields(head.fields)), "latin1");
  }

  /**
   * Takes the final head, which then waits for {@link data}, {@link trailers} or {@link flush}.
   *
   * @returns false when it cannot be an answer; nothing was written
   */
  begin(head: ResponseHead): boolean {
    const prepared = prepareHead(head, this.#context);
    if (prepared === undefined) return false;
    this.#head = prepared;
    this.#waiting = prepared;
    return true;
  }

  /** Writes a head that still waits. */
  flush(): void {
    if (this.#waiting === undefined || !this.#writeHead()) return;
    // Not flushHeaders(): that writes latin1 bytes as UTF-8.
    if (this.#head?.hasBody === true) this.#res.write("", "latin1");
  }

  /** @returns false when the visitor is full; `drain` of the response tells when to go on */
  data(chunk: Buffer, fin: boolean): boolean {
    const head = this.#head;
    if (head === undefined || this.#isEnded || this.#isBroken) return true;
    const bytes = head.hasBody ? chunk.length : 0;
    this.#bytes += bytes;
    const { contentLength } = head;
    // Too few or too many: the visitor must not take it for whole, nor the rest for the next answer.
    if (
      head.hasBody &&
      contentLength !== undefined &&
      (this.#bytes > contentLength || (fin && this.#bytes < contentLength))
    ) {
      this.breakOff();
      return true;
    }
    if (this.#waiting !== undefined && !this.#writeHead()) return true;
    if (fin) {
      this.#isEnded = true;
      if (bytes === 0) this.#res.end();
      else this.#res.end(chunk);
      return true;
    }
    if (bytes === 0 || this.#res.write(chunk)) return true;
    this.#isBlocked = true;
    return false;
  }

  /** The visitor takes bytes again. */
  drained(): void {
    this.#isBlocked = false;
  }

  /** Ends the answer with trailers, where its framing has room for them. */
  trailers(fields: HeaderList): void {
    if (this.#isEnded || this.#isBroken || this.#head === undefined) return;
    if (this.#waiting !== undefined && !this.#writeHead()) return;
    if (this.#res.chunkedEncoding) {
      const pairs: [string, string][] = [];
      for (let i = 0; i + 1 < fields.length; i += 2) {
        const name = fields[i] ?? "";
        if (trailerPasses(name)) pairs.push([name, fields[i + 1] ?? ""]);
      }
      if (pairs.length > 0) this.#res.addTrailers(pairs);
    }
    this.data(EMPTY, true);
  }

  /** The answer cannot be completed: the visitor's connection breaks, visibly. */
  breakOff(): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    const { socket } = this.#res;
    if (socket === null) return;
    // With a length or chunks the missing rest shows, and what the app did send may still arrive. Where the end of the
    // connection is the end of the body only a reset tells a broken answer from a whole one.
    const showsItsEnd = this.#res.chunkedEncoding || this.#head?.contentLength !== undefined;
    if (showsItsEnd && this.#res.headersSent) closeGently(socket);
    else breakConnection(socket);
  }

  #writeHead(): boolean {
    const head = this.#waiting;
    this.#waiting = undefined;
    if (head === undefined) return true;
    try {
      this.#res.writeHead(head.status, head.reason, head.fields as string[]);
      return true;
    } catch {
      // A head that Node refuses to write although both ends checked it.
      this.breakOff();
      return false;
    }
  }
}
