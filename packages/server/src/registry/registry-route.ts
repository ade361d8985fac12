import type { HttpOpenHead, MuxStream, StreamHandler } from "@ggrok/protocol";
import type { VisitorGate } from "../gate/gate.ts";
import type { Endpoint } from "./endpoint.ts";
import type { ParkTag } from "./parking.ts";
import type { ParkResult, Route } from "./route.ts";

/** What a route asks of the registry. */
export interface RouteSource {
  /** Another number whenever {@link locate} may say something else than before. */
  readonly revision: number;
  locate(tag: ParkTag): Endpoint | undefined;
  park(tag: ParkTag, bytes: number, signal: AbortSignal): Promise<ParkResult>;
}

/** Asks for the endpoint again whenever places have come or gone, so that it follows takeovers and releases. */
export class RegistryRoute implements Route {
  readonly #tag: ParkTag;
  readonly #source: RouteSource;
  #endpoint: Endpoint | undefined;
  #revision: number;

  /** @param endpoint what `source` locates now */
  constructor(tag: ParkTag, source: RouteSource, endpoint: Endpoint | undefined) {
    this.#tag = tag;
    this.#source = source;
    this.#endpoint = endpoint;
    this.#revision = source.revision;
  }

  get url(): string {
    return this.#locate()?.url ?? `http://${this.#tag.host}`;
  }

  get stripPrefix(): string | undefined {
    return this.#locate()?.stripPrefix;
  }

  get gate(): VisitorGate | undefined {
    return this.#locate()?.gate;
  }

  open(head: Omit<HttpOpenHead, "bind">, handler: StreamHandler, o: { fin: boolean }): MuxStream | undefined {
    return this.#locate()?.open(head, handler, o);
  }

  park(bytes: number, signal: AbortSignal): Promise<ParkResult> {
    return this.#source.park(this.#tag, bytes, signal);
  }

  #locate(): Endpoint | undefined {
    const { revision } = this.#source;
    if (revision !== this.#revision) {
      this.#endpoint = this.#source.locate(this.#tag);
      this.#revision = revision;
    }
    return this.#endpoint;
  }
}
