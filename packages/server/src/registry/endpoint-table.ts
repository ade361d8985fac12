import type { Endpoint } from "./endpoint.ts";
import { ANY_HOST, isUnderPrefix, type Place } from "./names.ts";

/** Endpoints by host and path prefix. The longest prefix wins; at equal length a host named exactly does. */
export class EndpointTable {
  readonly #hosts = new Map<string, Endpoint[]>();
  #size = 0;
  #revision = 0;

  /** Another number whenever {@link locate} may say something else than before. */
  get revision(): number {
    return this.#revision;
  }

  get size(): number {
    return this.#size;
  }

  all(): Endpoint[] {
    return [...this.#hosts.values()].flat();
  }

  /** The endpoint a request belongs to. */
  locate(host: string, target: string): Endpoint | undefined {
    const exact = this.#match(host, target);
    const any = this.#match(ANY_HOST, target);
    if (exact === undefined || any === undefined) return exact ?? any;
    return any.place.prefix.length > exact.place.prefix.length ? any : exact;
  }

  /** The endpoint of exactly this place. */
  get(place: Place): Endpoint | undefined {
    return this.#hosts.get(place.host)?.find((endpoint) => endpoint.place.prefix === place.prefix);
  }

  /** Every endpoint of a host, whatever its prefix. */
  at(host: string): readonly Endpoint[] {
    return this.#hosts.get(host) ?? [];
  }

  add(endpoint: Endpoint): void {
    const { host } = endpoint.place;
    const endpoints = [...(this.#hosts.get(host) ?? []), endpoint];
    // Longest prefix first: the first match is the right one.
    endpoints.sort((a, b) => b.place.prefix.length - a.place.prefix.length);
    this.#hosts.set(host, endpoints);
    this.#revision += 1;
    this.#size += 1;
  }

  remove(endpoint: Endpoint): void {
    const { host } = endpoint.place;
    const endpoints = this.#hosts.get(host) ?? [];
    const left = endpoints.filter((other) => other !== endpoint);
    this.#revision += 1;
    this.#size -= endpoints.length - left.length;
    if (left.length > 0) this.#hosts.set(host, left);
    else this.#hosts.delete(host);
  }

  #match(host: string, target: string): Endpoint | undefined {
    const endpoints = this.#hosts.get(host);
    if (endpoints === undefined) return undefined;
    for (const endpoint of endpoints) if (isUnderPrefix(target, endpoint.place.prefix)) return endpoint;
    return undefined;
  }
}
