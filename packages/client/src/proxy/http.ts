import { type ClientRequest, type IncomingMessage, request as openRequest, type ServerResponse } from "node:http";
import { pipeline } from "node:stream";
import { GgrokError, getFields, removeHopByHop } from "@ggrok/protocol";
import { breakOff } from "../join.ts";
import { answerFailure } from "./answer.ts";
import type { Credentials } from "./credentials.ts";
import { beginExchange, type OnProxyExchange } from "./exchange-log.ts";
import type { Exits } from "./exits.ts";
import { toGgrokError, WayError } from "./failure.ts";
import { answerAsLast, forwardsLeft } from "./max-forwards.ts";
import { type PlannedRequest, planRequest, requireAbsoluteForm } from "./plan-request.ts";

/** Methods of RFC 9110 9.2.2 that may be sent again without asking. */
const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "DELETE", "PUT"]);

const SWITCHED = "the destination switched protocols without being asked";

/** What plain requests need. */
export interface HttpOptions {
  readonly credentials: Credentials;
  readonly exits: Exits;
  readonly onExchange?: OnProxyExchange;
}

/** Serves one request in absolute form to its end. Nothing is thrown. */
export async function serveRequest(request: IncomingMessage, response: ServerResponse, o: HttpOptions): Promise<void> {
  const method = request.method ?? "GET";
  const target = (request.url ?? "").replace(/[?#].*$/s, "");
  const report = beginExchange(o.onExchange, { protocol: "http", method, target });
  const count = { bytesIn: 0, bytesOut: 0 };
  response.sendDate = false;
  response.once("close", () => report({ ...(response.headersSent && { status: response.statusCode }), ...count }));
  // The client's own breaking off is seen at its response.
  request.on("error", () => {});
  response.on("error", () => {});
  const fail = (cause: unknown): void => {
    const error = toGgrokError(cause);
    report({ status: error.status, error: error.code, ...count });
    if (response.headersSent) breakOff(request.socket);
    else if (!response.destroyed) answerFailure(response, error);
    request.resume();
  };
  try {
    if (!o.credentials.acceptField(request.headers["proxy-authorization"])) {
      throw new GgrokError("ERR_GGROK_PROXY_UNAUTHORIZED");
    }
    o.exits.refuseCircle(request.headers.via);
    const form = requireAbsoluteForm(request);
    if (forwardsLeft(request) === 0) {
      answerAsLast(request, response);
      return;
    }
    const options = await planRequest(request, form, o.exits);
    if (response.destroyed) return;
    request.on("data", (chunk: Buffer) => {
      count.bytesIn += chunk.length;
    });
    request.pause();
    new Relaying(request, response, options, { fail, count }).start();
  } catch (error) {
    fail(error);
  }
}

/** One exchange: the client is bound to a connection for its length, and no longer. */
class Relaying {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #plan: PlannedRequest;
  readonly #fail: (cause: unknown) => void;
  readonly #count: { bytesOut: number };
  #upstream: ClientRequest | undefined;
  #hasAnswer = false;
  #wasRetried = false;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    plan: PlannedRequest,
    o: { fail: (cause: unknown) => void; count: { bytesOut: number } },
  ) {
    this.#request = request;
    this.#response = response;
    this.#plan = plan;
    this.#fail = o.fail;
    this.#count = o.count;
  }

  start(): void {
    this.#response.once("close", () => {
      if (!this.#response.writableFinished) this.#upstream?.destroy();
    });
    this.#send();
  }

  #send(): void {
    const upstream = openRequest(this.#plan.options);
    this.#upstream = upstream;
    upstream.maxHeadersCount = 0;
    upstream.on("error", (error) => this.#onError(upstream, error));
    upstream.on("information", (info) => this.#onInformation(info.statusCode, info.headers));
    upstream.on("response", (answer) => this.#onAnswer(upstream, answer));
    upstream.on("upgrade", (_answer, socket) => {
      socket.destroy();
      this.#fail(new WayError("destination", "malformed", SWITCHED));
    });
    if (!this.#plan.hasBody) upstream.end();
    else {
      // flushHeaders() would send bytes above 0x7F as UTF-8 of latin1.
      upstream.write("", "latin1");
      this.#request.once("end", () => upstream.addTrailers(pairs(this.#request.rawTrailers)));
      this.#request.pipe(upstream);
    }
  }

  #onInformation(status: number, headers: NodeJS.Dict<string | string[]>): void {
    if (this.#response.headersSent) return;
    if (status === 100) this.#response.writeContinue();
    else if (status === 103 && headers["link"] !== undefined) {
      try {
        this.#response.writeEarlyHints({ link: headers["link"] });
      } catch {
        // A hint that Node does not understand helps nobody; the answer follows.
      }
    }
  }

  #onAnswer(upstream: ClientRequest, answer: IncomingMessage): void {
    this.#hasAnswer = true;
    const { proxyLabel } = this.#plan;
    if (answer.statusCode === 407 && proxyLabel !== undefined) {
      upstream.destroy();
      this.#fail(new WayError("proxy", "login", `the proxy ${proxyLabel} does not accept our login (407)`));
      return;
    }
    if (answer.statusCode === 101) {
      upstream.destroy();
      this.#fail(new WayError("destination", "malformed", SWITCHED));
      return;
    }
    answer.on("data", (chunk: Buffer) => {
      this.#count.bytesOut += chunk.length;
    });
    const fields = removeHopByHop(answer.rawHeaders);
    fields.push("Via", `${answer.httpVersion} ggrok`);
    try {
      this.#response.writeHead(answer.statusCode ?? 502, answer.statusMessage ?? "", fields);
    } catch (cause) {
      upstream.destroy();
      this.#fail(new WayError("destination", "malformed", "the destination's answer cannot be passed on", { cause }));
      return;
    }
    answer.once("end", () => {
      if (getFields(fields, "trailer").length > 0) this.#response.addTrailers(pairs(answer.rawTrailers));
    });
    pipeline(answer, this.#response, (error) => {
      // A body that broke off must not look complete to the client.
      if (error) breakOff(this.#request.socket);
      if (error || !this.#request.complete) upstream.destroy();
      if (!this.#request.complete) this.#request.resume();
    });
  }

  #onError(upstream: ClientRequest, error: Error): void {
    if (upstream !== this.#upstream || this.#hasAnswer || this.#response.destroyed) return;
    if (this.#mayRetry(upstream)) {
      this.#wasRetried = true;
      this.#send();
      return;
    }
    this.#fail(error instanceof WayError ? error : failureOf(error));
  }

  /** A kept connection that the other side closed just as it was used again: nobody has acted on the request. */
  #mayRetry(upstream: ClientRequest): boolean {
    const method = this.#request.method ?? "";
    return upstream.reusedSocket && !this.#wasRetried && !this.#plan.hasBody && IDEMPOTENT.has(method);
  }
}

function failureOf(cause: Error & { code?: string }): WayError {
  if (cause.code?.startsWith("HPE_") === true) {
    return new WayError("destination", "malformed", `the destination's answer is not valid HTTP (${cause.code})`, {
      cause,
    });
  }
  return new WayError("destination", "reset", "the destination closed the connection before it answered", { cause });
}

function pairs(raw: readonly string[]): [string, string][] {
  const result: [string, string][] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) result.push([raw[i] ?? "", raw[i + 1] ?? ""]);
  return result;
}
