import { GgrokError } from "@ggrok/protocol";
import { composeAgent } from "../compose.ts";
import { parseCidr, parsePathGlob, parseRateLimit, parseUsers, type VisitorPlan } from "../config/visitor-plan.ts";
import type { Target } from "../forward/target.ts";
import type { UpstreamPlan } from "../forward/upstream-plan.ts";
import type { TcpPlan } from "../running-tunnel.ts";
import type { Listener, TunnelOptions } from "../types.ts";
import { chooseRelayWay } from "./relay-way.ts";

/** Name of a tunnel that has none, as ngrok's agent calls it. */
const DEFAULT_NAME = "command_line";

/** Opens a tunnel to `target` and waits until the relay confirmed it. */
export async function openListener(
  target: Target,
  targetLabel: string,
  options: TunnelOptions & { readonly tcp?: TcpPlan; readonly upstream?: UpstreamPlan },
  onClosed?: () => Promise<void>,
): Promise<Listener> {
  options.signal?.throwIfAborted();
  const { way, stateDir } = chooseRelayWay(options, options.authtoken);
  const tunnel = composeAgent(
    {
      ...way,
      retry: options.retry !== false,
      folder: options.folder ?? process.cwd(),
      stateDir,
    },
    [
      {
        target,
        targetLabel,
        name: options.name ?? DEFAULT_NAME,
        ...(options.url !== undefined && { url: options.url }),
        isPooling: options.poolingEnabled === true,
        isTakeover: options.takeover === true,
        isPrefixStripped: options.stripPrefix === true,
        isInspected: false,
        ...options.upstream,
        ...(options.tcp !== undefined ? { tcp: options.tcp } : { visitors: visitorPlan(options) }),
        ...(options.timeoutMs !== undefined && { timeoutMs: options.timeoutMs }),
      },
    ],
  );
  const { agent, events } = tunnel;
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= tunnel.close().then(() => onClosed?.());
    return closing;
  };
  const onAbort = (): void => void close();
  options.signal?.addEventListener("abort", onAbort, { once: true });
  const closed = agent.ended.then(async (error) => {
    options.signal?.removeEventListener("abort", onAbort);
    await close();
    return error;
  });
  agent.start();
  try {
    await agent.ready;
  } catch (error) {
    await close();
    options.signal?.throwIfAborted();
    throw error;
  }
  return {
    url() {
      const url = agent.tunnels[0]?.url;
      if (url === undefined) throw new GgrokError("ERR_GGROK_INTERNAL");
      return url;
    },
    urls() {
      const [tunnel] = agent.tunnels;
      return [tunnel?.url, tunnel?.portUrl].filter((url) => url !== undefined);
    },
    close,
    on: (event, listener) => events.on(event, listener),
    closed,
    [Symbol.asyncDispose]: close,
  };
}

function visitorPlan({ basicAuth, basicAuthPass, cidrAllow, cidrDeny, rateLimit, open }: TunnelOptions): VisitorPlan {
  return {
    ...(basicAuth !== undefined && { basicAuth: basicAuth.flatMap((text) => parseUsers(text, process.env)) }),
    ...(basicAuthPass !== undefined && { basicAuthPass }),
    ...(cidrAllow !== undefined && { cidrAllow: cidrAllow.map(parseCidr) }),
    ...(cidrDeny !== undefined && { cidrDeny: cidrDeny.map(parseCidr) }),
    ...(rateLimit !== undefined && { rateLimit: parseRateLimit(rateLimit) }),
    ...(open !== undefined && { open: open.map(parsePathGlob) }),
  };
}
