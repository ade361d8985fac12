import type { Socket } from "node:net";
import type { ErrorCode } from "@ggrok/protocol";
import type { TrustedPeers } from "./forwarded.ts";
import { type VisitorRateLimits, VisitorRates } from "./visitor-rates.ts";

/** What {@link Admission} is made of. */
export interface AdmissionDeps {
  readonly config: {
    /** What one address may do in a time, instead of the relay's own limits. */
    readonly rateLimits?: VisitorRateLimits;
  };
  /** The front ends whose forwarding fields are believed. */
  readonly trusted: TrustedPeers;
  readonly metrics: {
    /** A connection was closed at accept, since its address begins too many. */
    countRefusedConnection(): void;
  };
  /** Whether new work is refused. */
  isOverloaded(): boolean;
}

/** Why something that could be served another time is not taken now. */
export interface NotNow {
  readonly code: ErrorCode;
  readonly retryAfterS?: number;
}

const OVERLOADED: NotNow = { code: "ERR_GGROK_RELAY_OVERLOADED" };

/** What may begin now: each address has its rates, and a relay with more work than it can do takes no more. */
export class Admission {
  readonly #deps: AdmissionDeps;
  readonly #rates: VisitorRates;

  constructor(deps: AdmissionDeps) {
    this.#deps = deps;
    this.#rates = new VisitorRates(deps.trusted, deps.config.rateLimits);
  }

  /** Whether a connection that has just come may stay. */
  admits(socket: Socket): boolean {
    if (this.#rates.admitsConnection(socket, performance.now())) return true;
    this.#deps.metrics.countRefusedConnection();
    return false;
  }

  /** Why a request is not taken now. @param client its visitor behind trusted front ends */
  refusalOf(client: string, socket: Socket): NotNow | undefined {
    return this.rateRefusal(client, socket) ?? this.loadRefusal();
  }

  /** The part of {@link refusalOf} that counts the request. */
  rateRefusal(client: string, socket: Socket): NotNow | undefined {
    const retryAfterS = this.#rates.secondsToWait(client, socket);
    return retryAfterS === undefined ? undefined : { code: "ERR_GGROK_VISITOR_RATE_LIMITED", retryAfterS };
  }

  /** The part of {@link refusalOf} that is the same for everybody. */
  loadRefusal(): NotNow | undefined {
    return this.#deps.isOverloaded() ? OVERLOADED : undefined;
  }
}
