import { type ErrorCode, GgrokError, type MuxStream, type StreamHandler, type StreamReset } from "@ggrok/protocol";
import { withoutAuthorization } from "../gate/gate.ts";
import { RELAY_LIMITS } from "../limits.ts";
import type { ParkResult, Route } from "../registry/route.ts";
import type { IngressContext } from "./context.ts";
import type { ErrorAnswerOptions } from "./error-page.ts";
import { type BrokenExchange, decideAfterReset } from "./redispatch.ts";
import type { RequestHead } from "./request-head.ts";
import { stripPrefix } from "./target-prefix.ts";

/** What the dispatcher needs of the exchange it opens streams for. */
export interface Dispatched extends StreamHandler {
  readonly isRequestComplete: boolean;
  readonly heldBytes: number;
  onOpened(stream: MuxStream): void;
  onWaiting(): void;
  /** @param o what the answer says besides its code */
  onRefused(code: ErrorCode, o?: RefusalDetails): void;
}

/** What an answer says besides its code. */
export type RefusalDetails = Pick<ErrorAnswerOptions, "retryAfterS" | "challenge">;

const CODE_OF_PARKING: Readonly<Record<Exclude<ParkResult, "ready" | "aborted">, ErrorCode>> = {
  offline: "ERR_GGROK_ENDPOINT_OFFLINE",
  full: "ERR_GGROK_RELAY_OVERLOADED",
};

/** Finds a session for an exchange: now, or after waiting for the agent, and once more when a session broke. */
export class Dispatcher {
  readonly #context: IngressContext;
  readonly #route: Route;
  readonly #exchange: Dispatched;
  /** As the visitor sent it: what the gate looks at. */
  readonly #visitor: RequestHead;
  readonly #head: RequestHead;
  #isAdmitted = false;
  /** Times the exchange was given to a session. */
  #attempts = 0;
  /** Times it was sent again although an app may have seen it. */
  #safeRetries = 0;
  #abort: AbortController | undefined;

  constructor(context: IngressContext, route: Route, head: RequestHead, exchange: Dispatched) {
    this.#context = context;
    this.#route = route;
    this.#exchange = exchange;
    this.#visitor = head;
    this.#head = route.stripPrefix === undefined ? head : withoutPrefix(head, route.stripPrefix);
  }

  /** Opens a stream, or waits until that works. */
  open(): void {
    if (!this.#tryOpen()) void this.#park();
  }

  /**
   * The stream was reset before the final head: what may go out again does.
   *
   * @returns the code of the answer when it may not
   */
  openAgain(reset: StreamReset, broken: Pick<BrokenExchange, "isBodyWhole" | "hasAnswered">): ErrorCode | undefined {
    const { kind, method, hasBody } = this.#visitor;
    const known = { kind, method, hasBody, attempts: this.#attempts, safeRetries: this.#safeRetries };
    const decision = decideAfterReset({ ...known, ...broken }, reset, RELAY_LIMITS);
    if (decision !== "again" && decision !== "retry") return decision;
    if (decision === "retry") this.#safeRetries += 1;
    this.#context.onRedispatch();
    this.open();
    return undefined;
  }

  /** The exchange is over: nothing waits any more. */
  cancel(): void {
    this.#abort?.abort();
  }

  /** @returns false when no session can take the exchange now */
  #tryOpen(): boolean {
    // Before every stream: the rules are those of whoever holds the endpoint now, who may have come while this waited.
    const head = this.#passGate();
    if (head === undefined) return true;
    let stream: MuxStream | undefined;
    try {
      stream = this.#route.open(head, this.#exchange, { fin: this.#exchange.isRequestComplete });
    } catch (error) {
      this.#exchange.onRefused(error instanceof GgrokError ? error.code : "ERR_GGROK_INTERNAL");
      return true;
    }
    if (stream === undefined) return false;
    this.#attempts += 1;
    this.#exchange.onOpened(stream);
    return true;
  }

  /** The head as it may go on; undefined when the gate has refused the visitor. */
  #passGate(): RequestHead | undefined {
    const { gate } = this.#route;
    if (gate === undefined) return this.#head;
    const admission = gate.admit(this.#visitor, !this.#isAdmitted, performance.now());
    this.#isAdmitted = true;
    if (admission.refused !== undefined) {
      const { refused, ...details } = admission;
      this.#exchange.onRefused(refused, details);
      return undefined;
    }
    const head = this.#head;
    return admission.hidesAuthorization ? { ...head, fields: withoutAuthorization(head.fields) } : head;
  }

  async #park(): Promise<void> {
    if (this.#context.isDraining) {
      this.#exchange.onRefused("ERR_GGROK_RELAY_DRAINING");
      return;
    }
    this.#exchange.onWaiting();
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    const deadline = performance.now() + this.#context.parkMs;
    // "Ready" is a hint: another visitor may have taken the place meanwhile. The count bounds a route that says it for ever.
    for (let round = 0; round < RELAY_LIMITS.maxAttempts; round += 1) {
      const result = await this.#waitForAgent(signal);
      if (signal.aborted || result === "aborted") return;
      if (result !== "ready") {
        this.#exchange.onRefused(this.#context.isDraining ? "ERR_GGROK_RELAY_DRAINING" : CODE_OF_PARKING[result]);
        return;
      }
      if (this.#tryOpen()) return;
      if (performance.now() > deadline) break;
    }
    this.#exchange.onRefused("ERR_GGROK_RELAY_OVERLOADED");
  }

  async #waitForAgent(signal: AbortSignal): Promise<ParkResult> {
    try {
      return await this.#route.park(this.#exchange.heldBytes, signal);
    } catch (error) {
      this.#context.logger.error({ err: error }, "waiting for an agent failed");
      return "offline";
    }
  }
}

function withoutPrefix(head: RequestHead, prefix: string): RequestHead {
  return { ...head, target: stripPrefix(head.target, prefix), fields: [...head.fields, "X-Forwarded-Prefix", prefix] };
}
