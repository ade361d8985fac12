import { resolve } from "node:path";
import { readAuthorities } from "../config/authorities.ts";
import { parseHeaderRules } from "../forward/header-rules.ts";
import { parseHostHeader } from "../forward/host-header.ts";
import { parseMounts } from "../forward/mounts.ts";
import { planUpstream, type UpstreamPlan } from "../forward/upstream-plan.ts";
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
