import type { Socket } from "node:net";
import { AddressBuckets, type Rate } from "../gate/address-buckets.ts";
import { RELAY_LIMITS } from "../limits.ts";
import { plainAddress, type TrustedPeers } from "./forwarded.ts";

/** What one address may do in a time. */
export interface VisitorRateLimits {
  /** Connections it may begin. */
  readonly connections: Rate;
  /** Requests it may send through trusted front ends, whose connections carry many visitors. */
  readonly requests: Rate;
}

const OWN_LIMITS: VisitorRateLimits = {
  connections: { perSecond: RELAY_LIMITS.connectionsPerSecond, burst: RELAY_LIMITS.connectionBurst },
  requests: { perSecond: RELAY_LIMITS.forwardedRequestsPerSecond, burst: RELAY_LIMITS.forwardedRequestBurst },
};

/**
 * Keeps one address from using up the relay: by the connections it begins, and behind a trusted front end by its requests.
 * The front ends themselves, this machine among them, are not counted.
 */
export class VisitorRates {
  readonly #trusted: TrustedPeers;
  readonly #connections: AddressBuckets;
  readonly #requests: AddressBuckets;

  /** @param limits instead of the relay's own */
  constructor(trusted: TrustedPeers, limits: VisitorRateLimits = OWN_LIMITS) {
    this.#trusted = trusted;
    this.#connections = new AddressBuckets(limits.connections, RELAY_LIMITS.ratedAddresses);
    this.#requests = new AddressBuckets(limits.requests, RELAY_LIMITS.ratedAddresses);
  }

  /** Whether a connection that has just come may stay. */
  admitsConnection({ remoteAddress }: Pick<Socket, "remoteAddress">, nowMs: number): boolean {
    const peer = plainAddress(remoteAddress);
    return this.#trusted.isTrusted(peer) || this.#connections.take(peer, nowMs) === undefined;
  }

  /**
   * Whole seconds until a visitor may send another request; undefined: now.
   *
   * @param client the visitor's address behind the trusted front ends
   */
  secondsToWait(client: string, { remoteAddress }: Pick<Socket, "remoteAddress">): number | undefined {
    // Who comes directly has been counted by the connection.
    if (client === plainAddress(remoteAddress) || this.#trusted.isTrusted(client)) return undefined;
    const waitMs = this.#requests.take(client, performance.now());
    return waitMs === undefined ? undefined : Math.ceil(waitMs / 1_000);
  }
}
