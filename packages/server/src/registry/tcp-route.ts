import { GgrokError, type MuxStream, type StreamHandler, type TcpOpenHead } from "@ggrok/protocol";
import type { Endpoint } from "./endpoint.ts";
import type { ParkTag } from "./parking.ts";
import type { ParkResult } from "./route.ts";
import { TCP_PREFIX } from "./tcp-place.ts";

/** One TCP tunnel as its visitors' side sees it. Every call looks at who holds it now. */
export interface TcpRoute {
  readonly url: string;
  /** Every way to say its name, for the globs of tokens. */
  readonly names: readonly string[];
  /** Whether anybody may connect by name. */
  readonly isPublic: boolean;
  /** Whether a visitor with this address may connect at all. */
  allows(address: string | undefined): boolean;
  /**
   * Opens on the least-loaded session that can take it now; undefined when there is none.
   *
   * @throws GgrokError VISITOR_FORBIDDEN: whoever has waited for the agent meets its rules only now
   */
  open(head: Omit<TcpOpenHead, "bind">, handler: StreamHandler): MuxStream | undefined;
  /** Waits until `open()` is worth trying again. */
  park(bytes: number, signal: AbortSignal): Promise<ParkResult>;
}

/** Finds TCP tunnels. */
export interface TcpRouter {
  /**
   * The tunnel that a visitor names: a bare name, or in wildcard mode a host. Undefined when there is none and none is
   * expected back.
   */
  findTcp(name: string): TcpRoute | undefined;
}

/** What a route asks of the registry. */
export interface TcpRouteSource {
  locate(tag: ParkTag): Endpoint | undefined;
  park(tag: ParkTag, bytes: number, signal: AbortSignal): Promise<ParkResult>;
}

/** Looks the endpoint up at every call, so that it follows takeovers and releases. */
export class TcpRegistryRoute implements TcpRoute {
  readonly names: readonly string[];
  readonly #tag: ParkTag;
  readonly #source: TcpRouteSource;

  constructor(host: string, names: readonly string[], source: TcpRouteSource) {
    this.names = names;
    this.#tag = { host, target: TCP_PREFIX };
    this.#source = source;
  }

  get url(): string {
    return this.#endpoint?.url ?? `tcp://${this.#tag.host}`;
  }

  get isPublic(): boolean {
    const members = this.#endpoint?.members ?? [];
    return members.length > 0 && members.every((member) => member.tcp?.isPublic === true);
  }

  allows(address: string | undefined): boolean {
    return (this.#endpoint?.members ?? []).every((member) => member.tcp?.allows(address) !== false);
  }

  open(head: Omit<TcpOpenHead, "bind">, handler: StreamHandler): MuxStream | undefined {
    const endpoint = this.#endpoint;
    if (endpoint === undefined) return undefined;
    if (!this.allows(head.meta?.client)) throw new GgrokError("ERR_GGROK_VISITOR_FORBIDDEN");
    return endpoint.openTcp(head, handler);
  }

  park(bytes: number, signal: AbortSignal): Promise<ParkResult> {
    return this.#source.park(this.#tag, bytes, signal);
  }

  get #endpoint(): Endpoint | undefined {
    return this.#source.locate(this.#tag);
  }
}
