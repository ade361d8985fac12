import type { IncomingMessage } from "node:http";
import { ResetCode } from "@ggrok/protocol";
import type { Exchange } from "./exchange.ts";
import type { IdleTimer } from "./idle-timer.ts";

/** Passes one final answer of node:http on to the visitor: head, body as it comes, trailers, and never a short end as a whole one. */
export class Answer {
  readonly #response: IncomingMessage;

  /** @param onEnd called when nothing more is wanted of the request: the answer is through, or it failed */
  constructor(exchange: Exchange, response: IncomingMessage, timer: IdleTimer | undefined, onEnd: () => void) {
    this.#response = response;
    // Its end is told by `aborted` and the request's own error; without a listener it would end the process.
    response.on("error", () => {});
    if (!exchange.sendHead(response.statusCode ?? 0, response.statusMessage ?? "", response.rawHeaders)) {
      onEnd();
      return;
    }
    response.on("data", (chunk: Buffer) => {
      timer?.touch();
      if (!exchange.write(chunk)) response.pause();
    });
    response.on("end", () => {
      if (response.complete) exchange.finish(response.rawTrailers);
      else exchange.fail(ResetCode.UpstreamReset, "ECONNRESET");
      onEnd();
    });
    response.on("aborted", () => {
      exchange.fail(ResetCode.UpstreamReset, "ECONNRESET");
      onEnd();
    });
  }

  /** The whole answer has been read from the connection: an error after it means nothing. */
  get isComplete(): boolean {
    return this.#response.complete;
  }
  /** Waits for the visitor to read. */
  get isPaused(): boolean {
    return this.#response.isPaused();
  }

  resume(): void {
    this.#response.resume();
  }
}
