import { resolve } from "node:path";
import { readAuthorities } from "../config/authorities.ts";
import { parseHeaderRules } from "../forward/header-rules.ts";
import { parseHostHeader } from "../forward/host-header.ts";
import { parseMounts } from "../forward/mounts.ts";
import { parseTarget } from "../forward/target.ts";
import { parseTcpTarget } from "../forward/tcp-target.ts";
import { planUpstream, type UpstreamPlan } from "../forward/upstream-plan.ts";
import type { TcpPlan } from "../running-tunnel.ts";
import type { ForwardOptions, Listener } from "../types.ts";

/**
 * Gives an app that listens somewhere a public URL. Resolves when the relay confirmed it; rejects when trying again
 * cannot help (`error.code`), or at the first failure with `retry: false`.
 */
export async function forward(options: ForwardOptions): Promise<Listener> {
  // The command line is in the same file: it must not begin with what only a tunnel needs.
  const { openListener } = await import("./open-listener.ts");
  if (options.proto === "tcp") {
    const target = parseTcpTarget(String(options.addr));
    return await openListener(target, target.label, { ...options, tcp: tcpPlan(options) });
  }
  const target = parseTarget(String(options.addr));
  return await openListener(target, target.label, { ...options, upstream: upstreamPlan(options) });
}

function upstreamPlan(options: ForwardOptions): UpstreamPlan {
  const { hostHeader, mounts = {}, requestHeaders, responseHeaders, upstreamTlsVerify, upstreamTlsCa } = options;
  return planUpstream({
    hostHeader: hostHeader === undefined ? undefined : parseHostHeader(hostHeader),
    mounts: parseMounts(Object.entries(mounts).map(([path, to]) => `${path}=${to}`)),
    requestRules: parseHeaderRules(requestHeaders?.add ?? [], requestHeaders?.remove ?? []),
    responseRules: parseHeaderRules(responseHeaders?.add ?? [], responseHeaders?.remove ?? []),
    verify: upstreamTlsVerify,
    ca: upstreamTlsCa === undefined ? undefined : readAuthorities(resolve(upstreamTlsCa)),
  });
}

function tcpPlan({ public: isPublic, cidrAllow, cidrDeny, upstreamProxyProtocol }: ForwardOptions): TcpPlan {
  return {
    isPublic: isPublic === true,
    ...(cidrAllow !== undefined && { cidrAllow }),
    ...(cidrDeny !== undefined && { cidrDeny }),
    ...(upstreamProxyProtocol !== undefined && { proxyProtocol: upstreamProxyProtocol }),
  };
}
