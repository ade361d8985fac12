import type { ForwardPlan } from "./forwarder.ts";
import type { HeaderRules } from "./header-rules.ts";
import type { HostHeader } from "./host-header.ts";
import type { Mount } from "./mounts.ts";

/** The part of a tunnel's plan that these settings make. */
export type UpstreamPlan = Omit<ForwardPlan, "target" | "timeoutMs" | "isPrefixStripped">;

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
