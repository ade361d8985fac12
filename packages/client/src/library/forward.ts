import { parseTarget } from "../forward/target.ts";
import { parseTcpTarget } from "../forward/tcp-target.ts";
import type { TcpPlan } from "../running-tunnel.ts";
import type { ForwardOptions, Listener } from "../types.ts";
import { openListener } from "./open-listener.ts";

/**
 * Gives an app that listens somewhere a public URL. Resolves when the relay confirmed it; rejects when trying again
 * cannot help (`error.code`), or at the first failure with `retry: false`.
 */
export async function forward(options: ForwardOptions): Promise<Listener> {
  if (options.proto === "tcp") {
    const target = parseTcpTarget(String(options.addr));
    return await openListener(target, target.label, { ...options, tcp: tcpPlan(options) });
  }
  const target = parseTarget(String(options.addr));
  return await openListener(target, `${target.scheme}://${target.authority}${target.basePath}`, options);
}

function tcpPlan({ public: isPublic, cidrAllow, cidrDeny, upstreamProxyProtocol }: ForwardOptions): TcpPlan {
  return {
    isPublic: isPublic === true,
    ...(cidrAllow !== undefined && { cidrAllow }),
    ...(cidrDeny !== undefined && { cidrDeny }),
    ...(upstreamProxyProtocol !== undefined && { proxyProtocol: upstreamProxyProtocol }),
  };
}
