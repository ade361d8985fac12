import { randomBytes } from "node:crypto";
import type { Agent } from "node:http";
import { isIP, type Socket } from "node:net";
import { GgrokError } from "@ggrok/protocol";
import { type Destination, findAddresses, type Resolve, resolveBySystem } from "./destination.ts";
import { WayError } from "./failure.ts";
import { PROXY_LIMITS } from "./limits.ts";
import { ConnectionPool } from "./pool.ts";
import type { ProxyAddress } from "./proxy-url.ts";
import { chooseRoute, type UpstreamRule } from "./rules.ts";
import { openToProxy, openWay, type WayOptions } from "./way.ts";

/** Which destinations may be reached, and how. */
export interface ExitOptions {
  /** The proxy that everything goes through unless a rule says otherwise. */
  readonly upstream?: ProxyAddress;
  readonly rules?: readonly UpstreamRule[];
  /** Refuses private and local destinations. */
  readonly isPublicOnly: boolean;
  /** Certificates to trust instead of the system's, for proxies behind TLS. */
  readonly ca?: readonly string[];
  readonly resolve?: Resolve;
  readonly userAgent?: string;
  /** Default: {@link PROXY_LIMITS}. */
  readonly connectTimeoutMs?: number;
}

const DIRECT = "direct";

/** Where connections leave the proxy: rules, guard, other proxies, the pool. */
export class Exits {
  /** Our name in Via; random, so that a circle is told from a chain of several proxies of this kind. */
  readonly pseudonym = `ggrok-${randomBytes(6).toString("hex")}`;
  readonly #options: ExitOptions;
  readonly #proxies = new Map<string, ProxyAddress>();
  readonly #pool: ConnectionPool;
  readonly #stop = new AbortController();

  constructor(options: ExitOptions) {
    this.#options = options;
    for (const proxy of [options.upstream, ...(options.rules ?? []).map((rule) => rule.proxy)]) {
      if (proxy !== undefined) this.#proxies.set(keyOf(proxy), proxy);
    }
    this.#pool = new ConnectionPool((to, route) => this.#openPooled(to, this.#proxies.get(route)));
  }

  /** The value of the Via field that this hop adds to a message it got in this version of HTTP. */
  via(httpVersion = "1.1"): string {
    return `${httpVersion} ${this.pseudonym}`;
  }

  /** Throws when a request has been here before. */
  refuseCircle(via: string | undefined): void {
    if (via?.includes(this.pseudonym) === true) {
      throw new GgrokError("ERR_GGROK_LOOP_DETECTED", { message: "The request came back to this proxy." });
    }
  }

  /** A connection of its own to a destination. */
  async open(to: Destination): Promise<Socket> {
    const proxy = this.#routeOf(to);
    if (proxy !== undefined) await this.#guardName(to);
    return await openWay(to, proxy, this.#wayOptions(), this.#stop.signal);
  }

  /** How a plain request goes: to the destination, or to an HTTP proxy that is asked in absolute form. */
  async routeRequest(to: Destination): Promise<{ agent: Agent; via: Destination; proxy: ProxyAddress | undefined }> {
    const proxy = this.#routeOf(to);
    if (proxy === undefined) return { agent: this.#pool.agentFor(DIRECT), via: to, proxy: undefined };
    await this.#guardName(to);
    const agent = this.#pool.agentFor(keyOf(proxy));
    if (proxy.scheme === "socks5") return { agent, via: to, proxy: undefined };
    return { agent, via: { host: proxy.hostname, port: proxy.port }, proxy };
  }

  destroy(): void {
    this.#stop.abort(new WayError("destination", "reset", "the proxy stopped"));
    this.#pool.destroy();
  }

  #routeOf(to: Destination): ProxyAddress | undefined {
    return chooseRoute(to, this.#options.rules ?? [], this.#options.upstream);
  }

  #openPooled(to: Destination, proxy: ProxyAddress | undefined): Promise<Socket> {
    // To an HTTP proxy the pool's connections are to the proxy itself.
    if (proxy === undefined || proxy.scheme === "socks5") {
      return openWay(to, proxy, this.#wayOptions(), this.#stop.signal);
    }
    return openToProxy(proxy, this.#wayOptions(), this.#stop.signal);
  }

  /**
   * The other proxy resolves the name and has the last word. What is private as seen from here is refused before; a name
   * that does not resolve here is the other proxy's alone.
   */
  async #guardName(to: Destination): Promise<void> {
    if (!this.#options.isPublicOnly) return;
    const resolve = this.#options.resolve ?? resolveBySystem;
    try {
      await findAddresses(to.host, { resolve, isPublicOnly: true, hop: "destination" });
    } catch (error) {
      if (isIP(to.host) === 0 && error instanceof WayError && error.kind !== "forbidden") return;
      throw error;
    }
  }

  #wayOptions(): WayOptions {
    const { ca, resolve, isPublicOnly, userAgent, connectTimeoutMs } = this.#options;
    return {
      isPublicOnly,
      via: this.via(),
      timeoutMs: connectTimeoutMs ?? PROXY_LIMITS.CONNECT_TIMEOUT_MS,
      ...(ca !== undefined && { ca }),
      ...(resolve !== undefined && { resolve }),
      ...(userAgent !== undefined && { userAgent }),
    };
  }
}

function keyOf(proxy: ProxyAddress): string {
  return `${proxy.label} ${proxy.username ?? ""} ${proxy.password ?? ""}`;
}
