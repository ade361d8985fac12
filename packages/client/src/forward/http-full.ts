import { type Agent, ClientRequest, type IncomingMessage, type RequestOptions } from "node:http";
import {
  getField,
  getFields,
  type HeaderList,
  ResetCode,
  removeHopByHop,
  type StreamHandler,
  type StreamReset,
} from "@ggrok/protocol";
import { Answer } from "./answer.ts";
import type { Dial } from "./dial.ts";
import type { Exchange } from "./exchange.ts";
import { isSafeToRepeat } from "./failure.ts";
import { IdleTimer } from "./idle-timer.ts";
import { FORWARD_LIMITS } from "./limits.ts";

/**
 * A request without a body whatever its method. Node adds `Transfer-Encoding: chunked` or `Content-Length: 0` to a POST of its
 * own accord; an app is to see what its visitor sent.
 */
class BodilessRequest extends ClientRequest {
  /** Node's own, which writes the head while the request is being made. */
  _storeHeader(firstLine: string, headers: unknown): void {
    this.useChunkedEncodingByDefault = false;
    storeHeader.call(this, firstLine, headers);
  }
}

const storeHeader = Reflect.get(ClientRequest.prototype, "_storeHeader") as (
  this: ClientRequest,
  firstLine: string,
  headers: unknown,
) => void;

/** An exchange carried by node:http: bodies, trailers, Expect, and whatever else undici would not send as it came. */
export class FullExchange implements StreamHandler {
  readonly #exchange: Exchange;
  readonly #agent: Agent;
  readonly #dial: Dial;
  readonly #options: RequestOptions;
  readonly #timer: IdleTimer | undefined;
  /** Bytes still owed by a Content-Length; undefined when the body is chunked. */
  #owedBytes: number | undefined;
  /** Neither a length nor a coding came: there is no body and no word of one. */
  readonly #isBodiless: boolean;
  #request: ClientRequest | undefined;
  #answer: Answer | undefined;
  #isBodyStalled = false;
  #wasRetried = false;

  constructor(o: {
    exchange: Exchange;
    target: string;
    fields: HeaderList;
    authority: string;
    agent: Agent;
    dial: Dial;
    timeoutMs: number | undefined;
  }) {
    this.#exchange = o.exchange;
    this.#agent = o.agent;
    this.#dial = o.dial;
    const { head, stream, isRequestWhole } = o.exchange;
    const { fields, length } = frameBody(o.fields, isRequestWhole, o.authority);
    this.#owedBytes = length;
    this.#isBodiless = isRequestWhole && length === undefined;
    this.#options = {
      method: head.method,
      path: o.target,
      headers: fields,
      setHost: false,
      maxHeaderSize: FORWARD_LIMITS.RESPONSE_HEAD_BYTES_MAX,
    };
    stream.handler = this;
    this.#timer = o.timeoutMs === undefined ? undefined : new IdleTimer(o.timeoutMs, () => this.#onIdle());
    if (isRequestWhole && length !== undefined && length > 0) {
      this.#end(() =>
        o.exchange.fail(ResetCode.Protocol, `the body ended ${length} bytes short of its Content-Length`),
      );
    } else {
      this.#start({ agent: this.#agent });
    }
  }

  // ---- the stream

  onData(chunk: Buffer, fin: boolean): boolean {
    const request = this.#request;
    const exchange = this.#exchange;
    if (request === undefined || exchange.isDone) return true;
    this.#timer?.touch();
    exchange.take(chunk);
    if (this.#owedBytes !== undefined) {
      this.#owedBytes -= chunk.length;
      if (this.#owedBytes < 0 || (fin && this.#owedBytes > 0)) {
        this.#end(() => exchange.fail(ResetCode.Protocol, "the body does not match its Content-Length"));
        return true;
      }
    }
    if (fin) {
      exchange.endRequest();
      request.end(chunk);
      return true;
    }
    this.#isBodyStalled = !request.write(chunk);
    return !this.#isBodyStalled;
  }

  onTrailers(fields: HeaderList): void {
    if (this.#request === undefined || this.#exchange.isDone) return;
    if (this.#owedBytes !== undefined && this.#owedBytes > 0) {
      this.#end(() => this.#exchange.fail(ResetCode.Protocol, "the body does not match its Content-Length"));
      return;
    }
    this.#exchange.takeTrailers(fields);
    // A body with a Content-Length has no place for trailers.
    if (this.#owedBytes === undefined) this.#request.addTrailers(pairs(fields));
    this.#exchange.endRequest();
    this.#request.end();
  }

  onDrain(): void {
    this.#answer?.resume();
  }

  onReset(reset: StreamReset): void {
    this.#end(() => this.#exchange.abandon(reset));
  }

  // ---- the request

  #start(connection: { agent: Agent } | { createConnection: NonNullable<RequestOptions["createConnection"]> }): void {
    let request: ClientRequest;
    try {
      const options = { ...this.#options, ...connection };
      request = this.#isBodiless ? new BodilessRequest(options) : new ClientRequest(options);
    } catch (error) {
      this.#end(() => this.#exchange.failWith(error));
      return;
    }
    this.#request = request;
    // Node would cut the list silently; the exchange counts it where the answer can be refused.
    request.maxHeadersCount = 0;
    request.on("socket", () => {
      this.#exchange.markDispatched();
    });
    request.on("information", (info) => {
      this.#timer?.touch();
      this.#exchange.sendInformational(info.statusCode, info.statusMessage, info.rawHeaders);
    });
    request.on("response", (response) => this.#onResponse(request, response));
    request.on("upgrade", (_response, socket) => {
      socket.destroy();
      this.#end(() =>
        this.#exchange.fail(ResetCode.UpstreamMalformed, "the app switched protocols without being asked"),
      );
    });
    request.on("drain", () => {
      this.#timer?.touch();
      this.#isBodyStalled = false;
      this.#exchange.stream.resume();
    });
    request.on("error", (error) => this.#onError(request, error));
    if (this.#exchange.isRequestWhole) request.end();
    // flushHeaders() would send bytes above 0x7F as UTF-8 of latin1.
    else request.write("", "latin1");
  }

  #onResponse(request: ClientRequest, response: IncomingMessage): void {
    this.#timer?.touch();
    this.#answer = new Answer(this.#exchange, response, this.#timer, () => {
      this.#timer?.stop();
      // An upload that is still on its way has lost its reader; a failed answer its writer.
      if (!request.writableEnded || !response.complete) request.destroy();
    });
  }

  #onError(request: ClientRequest, error: Error): void {
    if (this.#exchange.isDone || request !== this.#request || this.#answer?.isComplete === true) return;
    if (this.#mayRetry(request, error)) {
      this.#wasRetried = true;
      this.#start({
        createConnection: (_options, done) => {
          this.#dial({ allowHalfOpen: false }, (failure, socket) => {
            // Node asks for a socket beside an error; it looks at the error first.
            done(failure, socket as NonNullable<typeof socket>);
          });
          return undefined;
        },
      });
      return;
    }
    this.#end(() => this.#exchange.failWith(error));
  }

  /** Only what had no body at all: of a body, some has been let go. */
  #mayRetry(request: ClientRequest, error: Error): boolean {
    return (
      request.reusedSocket &&
      !this.#wasRetried &&
      this.#answer === undefined &&
      this.#exchange.isRequestWhole &&
      this.#exchange.bytesIn === 0 &&
      isSafeToRepeat(this.#exchange.head.method, error)
    );
  }

  #onIdle(): void {
    // The visitor keeps us waiting: reads nothing, or sends nothing while the app has taken all there was.
    const isWaitingForVisitor =
      this.#answer?.isPaused === true || (!this.#exchange.isRequestWhole && !this.#isBodyStalled);
    if (isWaitingForVisitor) return;
    this.#end(() => this.#exchange.fail(ResetCode.UpstreamTimeout, "the app was silent for too long"));
  }

  #end(settle: () => void): void {
    this.#timer?.stop();
    settle();
    this.#request?.destroy();
  }
}

/** Writes the fields that say how the body is framed on this hop, and the Host a visitor of HTTP/1.0 left out. */
function frameBody(
  received: HeaderList,
  isWhole: boolean,
  authority: string,
): { fields: string[]; length: number | undefined } {
  const fields = removeHopByHop(received, { keepTrailers: true });
  if (getField(fields, "host") === undefined) fields.unshift("Host", authority);
  const declared = getFields(fields, "content-length");
  const length = declared[0] === undefined ? undefined : Number(declared[0]);
  if (length === undefined && !isWhole) {
    fields.push("Transfer-Encoding", "chunked");
    return { fields, length };
  }
  // Only a chunked body has trailers; Node refuses to announce them before any other.
  for (let i = fields.length - 2; i >= 0; i -= 2) if (fields[i]?.toLowerCase() === "trailer") fields.splice(i, 2);
  return { fields, length };
}

function pairs(fields: HeaderList): [string, string][] {
  const result: [string, string][] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) result.push([fields[i] ?? "", fields[i + 1] ?? ""]);
  return result;
}
