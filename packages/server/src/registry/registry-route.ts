import type { HttpOpenHead, MuxStream, StreamHandler } from "@ggrok/protocol";
import type { VisitorGate } from "../gate/gate.ts";
import type { Endpoint } from "./endpoint.ts";
import type { ParkTag } from "./parking.ts";
import type { ParkResult, Route } from "./route.ts";

/** What a route asks of the registry. */
export interface RouteSource {
  locate(tag: ParkTag): Endpoint | undefined;
  park(tag: ParkTag, bytes: number, signal: AbortSignal): Promise<ParkResult>;
}

/** Looks the endpoint up at every call, so that it follows takeovers and releases. */
export class RegistryRoute implements Route {
  readonly #tag: ParkTag;
  readonly #source: RouteSource;

  constructor(tag: ParkTag, source: RouteSource) {
    this.#tag = tag;
    this.#source = source;
  }

  get url(): string {
    return this.#source.locate(this.#tag)?.url ?? `http://${this.#tag.host}`;
  }

  get stripPrefix(): string | undefined {
    return this.#source.locate(this.#tag)?.stripPrefix;
  }

  get gate(): VisitorGate | undefined {
    return this.#source.locate(this.#tag)?.gate;
  }

  open(head: Omit<HttpOpenHead, "bind">, handler: StreamHandler, o: { fin: boolean }): MuxStream | undefined {
    return this.#source.locate(this.#tag)?.open(head, handler, o);
  }

  park(bytes: number, signal: AbortSignal): Promise<ParkResult> {
    return this.#source.park(this.#tag, bytes, signal);
  }
}
