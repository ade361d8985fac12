import type { Bind, HttpOpenHead, MuxStream, TcpOpenHead } from "@ggrok/protocol";
import type { ClaimClock } from "./claim-clock.ts";

/** A tunnel as the user asked for it. */
export interface TunnelSpec {
  /** Name in events and in the local API. */
  readonly name: string;
  /** Wanted address: a URL, a host, or a bare name. */
  readonly url?: string;
  /** The address this folder had last time; asked for only where the relay gives names, and never insisted upon. */
  readonly recalledUrl?: string;
  /** The app, as shown to people. */
  readonly target: string;
  readonly isPooling?: boolean;
  readonly isTakeover?: boolean;
  readonly isPrefixStripped?: boolean;
  /** Whom a tunnel of HTTP lets in (docs/protocol.md, section 5). */
  readonly options?: Readonly<Record<string, unknown>>;
  /** Takes each exchange; sets `stream.handler` before it returns. */
  onStream(stream: MuxStream, head: HttpOpenHead, fin: boolean): void;
  /** What makes the tunnel one of TCP: takes each connection, as `onStream` takes exchanges. */
  readonly tcp?: TcpTunnelSpec;
}

/** The part of a TCP tunnel. */
export interface TcpTunnelSpec {
  /** Who may connect: `public`, `cidrAllow`, `cidrDeny` (docs/protocol.md, section 5). */
  readonly options: Readonly<Record<string, unknown>>;
  onConnection(stream: MuxStream, head: TcpOpenHead, fin: boolean): void;
}

/** One tunnel's life at the relay: what was asked, what was given, and since when it is ours. */
export class Tunnel {
  /** Replaced when only what it leads to has changed: the relay is not told of that. */
  spec: TunnelSpec;
  /** Our number for it on the wire. */
  readonly bind: number;
  readonly #clock: ClaimClock;
  #url: string | undefined;
  #portUrl: string | undefined;
  #claim: number | undefined;
  #isOnline = false;
  #isNameDropped = false;

  constructor(spec: TunnelSpec, bind: number, clock: ClaimClock) {
    this.spec = spec;
    this.bind = bind;
    this.#clock = clock;
  }

  /** The address the relay gave; undefined before the first time. */
  get url(): string | undefined {
    return this.#url;
  }
  /** Where a TCP tunnel has a raw public port of the relay. */
  get portUrl(): string | undefined {
    return this.#portUrl;
  }
  /** True while visitors reach it. */
  get isOnline(): boolean {
    return this.#isOnline;
  }
  /** True once the relay has given it to us; from then on it is ours to defend. */
  get wasBound(): boolean {
    return this.#claim !== undefined;
  }
  /** True when the address asked for is one we remember and nobody insists upon. */
  get isNameOptional(): boolean {
    return this.spec.url === undefined && this.spec.recalledUrl !== undefined && !this.wasBound && !this.#isNameDropped;
  }

  /**
   * What to ask the relay for.
   *
   * @param givesNames the relay has a domain below which it gives names; one without gives every host that reaches it,
   *   and asking it for the address of last time would mean that one host only
   */
  bindMessage(givesNames: boolean): Bind {
    const { spec } = this;
    const port =
      this.#portUrl === undefined ? {} : { port: Number(this.#portUrl.slice(this.#portUrl.lastIndexOf(":") + 1)) };
    const remembered =
      givesNames || spec.tcp !== undefined
        ? (this.#url ?? (this.#isNameDropped ? undefined : spec.recalledUrl))
        : undefined;
    const url = spec.url ?? remembered;
    return {
      type: "bind",
      bind: this.bind,
      kind: spec.tcp === undefined ? "http" : "tcp",
      ageMs: this.#clock.ageMs(),
      ...(url !== undefined && { url }),
      ...(this.#claim !== undefined && { claim: this.#claim }),
      ...(spec.isPooling === true && { pooling: true }),
      // A takeover is the user's wish at the start. Repeated at every reconnect it would be a fight.
      ...(spec.isTakeover === true && !this.wasBound && { takeover: true }),
      ...(spec.isPrefixStripped === true && { stripPrefix: true }),
      ...(spec.options !== undefined && { options: spec.options }),
      ...(spec.tcp !== undefined && { options: { ...spec.tcp.options, ...port } }),
    };
  }

  /** The relay confirmed it. Returns whether that is news. */
  bound(url: string, claim: number, portUrl?: string): boolean {
    const isNews = !this.#isOnline || this.#url !== url || this.#portUrl !== portUrl;
    this.#url = url;
    this.#portUrl = portUrl;
    this.#claim = claim;
    this.#isOnline = true;
    return isNews;
  }

  /** The link carries on where it was. Returns whether that is news. */
  resumed(): boolean {
    if (this.#isOnline || this.#url === undefined || this.#claim === undefined) return false;
    this.#isOnline = true;
    return true;
  }

  /** Visitors do not reach it now. Returns whether that is news. */
  offline(): boolean {
    const wasOnline = this.#isOnline;
    this.#isOnline = false;
    return wasOnline;
  }

  /** The remembered address belongs to someone else by now: ask for any. */
  dropRecalledName(): void {
    this.#isNameDropped = true;
  }
}
