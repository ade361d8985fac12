import { resolve } from "node:path";
import { readAuthorities } from "../config/authorities.ts";
import type { ForwardPlan } from "../forward/forwarder.ts";
import { type HeaderRules, parseHeaderRules } from "../forward/header-rules.ts";
import { type HostHeader, parseHostHeader } from "../forward/host-header.ts";
import { type Mount, parseMounts } from "../forward/mounts.ts";
import { parseFlag } from "./exit-codes.ts";

/** Flags that say how requests reach the app, and how its answers leave. */
export interface UpstreamFlags {
  readonly hostHeader?: string;
  readonly mount?: readonly string[];
  readonly requestHeaderAdd?: readonly string[];
  readonly requestHeaderRemove?: readonly string[];
  readonly responseHeaderAdd?: readonly string[];
  readonly responseHeaderRemove?: readonly string[];
  readonly upstreamTlsVerify?: boolean;
  readonly upstreamTlsCa?: string;
}

/** The part of a tunnel's plan that these settings make. */
export type UpstreamPlan = Omit<ForwardPlan, "target" | "timeoutMs" | "isPrefixStripped">;

/** Reads the flags; a wrong value is a wrong command line. */
export function readUpstreamFlags(flags: UpstreamFlags, cwd: string): UpstreamPlan {
  const {
    hostHeader,
    mount,
    requestHeaderAdd = [],
    requestHeaderRemove = [],
    upstreamTlsVerify,
    upstreamTlsCa,
  } = flags;
  const { responseHeaderAdd = [], responseHeaderRemove = [] } = flags;
  return planUpstream({
    ...(hostHeader !== undefined && { hostHeader: parseFlag("--host-header", () => parseHostHeader(hostHeader)) }),
    ...(mount !== undefined && { mounts: parseFlag("--mount", () => parseMounts(mount)) }),
    requestRules: parseFlag("--request-header", () => parseHeaderRules(requestHeaderAdd, requestHeaderRemove)),
    responseRules: parseFlag("--response-header", () => parseHeaderRules(responseHeaderAdd, responseHeaderRemove)),
    verify: upstreamTlsVerify,
    ca: upstreamTlsCa === undefined ? undefined : readAuthorities(resolve(cwd, upstreamTlsCa)),
  });
}

/** Leaves out what is not set. */
export function planUpstream(o: {
  hostHeader?: HostHeader | undefined;
  mounts?: readonly Mount[];
  requestRules?: HeaderRules | undefined;
  responseRules?: HeaderRules | undefined;
  verify?: boolean | undefined;
  ca?: readonly string[] | undefined;
}): UpstreamPlan {
  const { hostHeader, mounts = [], requestRules, responseRules, verify, ca } = o;
  return {
    ...(hostHeader !== undefined && { hostHeader }),
    ...(mounts.length > 0 && { mounts }),
    ...(requestRules !== undefined && { requestRules }),
    ...(responseRules !== undefined && { responseRules }),
    ...((verify !== undefined || ca !== undefined) && {
      tls: { ...(verify !== undefined && { verify }), ...(ca !== undefined && { ca }) },
    }),
  };
}
