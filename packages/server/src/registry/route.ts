import type { HttpOpenHead, MuxStream, StreamHandler } from "@ggrok/protocol";
import type { VisitorGate } from "../gate/gate.ts";

/** How waiting for an agent ended; `full` means the relay has no place to wait or no stream to give. */
export type ParkResult = "ready" | "offline" | "full" | "aborted";

/** One endpoint as ingress sees it. It stays valid over takeovers: every call looks at who holds the endpoint now. */
export interface Route {
  /** Public URL of the endpoint, for logs and error pages. */
  readonly url: string;
  /** The path prefix to take off before the request goes out, when the agent asked for that. */
  readonly stripPrefix: string | undefined;
  /** Stands before the endpoint, where its agent asked for one. */
  readonly gate?: VisitorGate | undefined;
  /** Opens on the least-loaded session that can take it now, filling in head.bind; undefined when there is none. */
  open(head: Omit<HttpOpenHead, "bind">, handler: StreamHandler, o: { fin: boolean }): MuxStream | undefined;
  /** Waits until `open()` is worth trying again. `bytes` is what the waiting exchange holds in memory. */
  park(bytes: number, signal: AbortSignal): Promise<ParkResult>;
}

/** What ingress knows of the registry. */
export interface Router {
  /**
   * @param host as `parseHost` gives it: lower case, no port, no trailing dot
   * @param target the request target in origin-form
   */
  find(host: string, target: string): Route | undefined;
}
