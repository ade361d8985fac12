import { resolve } from "node:path";
import { GgrokError } from "@ggrok/protocol";
import { composeAgent } from "../compose.ts";
import { currentPathSource, resolvePaths } from "../config/paths.ts";
import { choose, chooseAuthorities, chooseRelay, chooseToken, loadLayers } from "../config/settings.ts";
import { configError } from "../config/values.ts";
import { parseCidr, parsePathGlob, parseRateLimit, parseUsers, type VisitorPlan } from "../config/visitor-plan.ts";
import type { Target } from "../forward/target.ts";
import type { UpstreamPlan } from "../forward/upstream-plan.ts";
import type { TcpPlan } from "../running-tunnel.ts";
import type { Listener, TunnelOptions } from "../types.ts";

/** Name of a tunnel that has none, as ngrok's agent calls it. */
const DEFAULT_NAME = "command_line";

/**
 * Opens a tunnel to `target` and waits until the relay confirmed it. Settings come in the order of the command line:
 * options, environment, the user's file. A project file is not read: a library is not asked questions.
 */
export async function openListener(
  target: Target,
  targetLabel: string,
  options: TunnelOptions & { readonly tcp?: TcpPlan; readonly upstream?: UpstreamPlan },
  onClosed?: () => Promise<void>,
): Promise<Listener> {
  options.signal?.throwIfAborted();
  const { env } = process;
  const paths = resolvePaths(currentPathSource());
  const named = env["GGROK_CONFIG"];
  const { project: _project, ...layers } = loadLayers({
    env,
    cwd: process.cwd(),
    userConfig: paths.userConfig,
    ...(named !== undefined && named !== "" && { named: resolve(named) }),
  });
  const relay = chooseRelay(layers, {
    ...(options.relay !== undefined && { relay: options.relay }),
    ...(options.insecure !== undefined && { insecure: options.insecure }),
  });
  if (relay === undefined) throw configError("no relay: give `relay`, set GGROK_RELAY, or run `ggrok login RELAY`");
  const { token } = chooseToken(layers, relay, options.authtoken);
  const proxy = choose(options.proxy, undefined, layers, (config) => config.proxy)?.value;
  const ca = chooseAuthorities(options.ca, layers, process.cwd())?.value;
  const tunnel = composeAgent(
    {
      relay: relay.value,
      ...(token !== undefined && { token }),
      ...(proxy !== undefined && { proxy }),
      ...(ca !== undefined && { ca }),
      retry: options.retry !== false,
      folder: options.folder ?? process.cwd(),
      stateDir: paths.stateDir,
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
