import { GgrokError } from "@ggrok/protocol";
import { chooseHistoryQuota, chooseWebAddress } from "../config/inspector-settings.ts";
import type { Layers } from "../config/settings.ts";
import { type ListenAddress, parseListenAddress } from "../config/values.ts";
import { parseCidr, parsePathGlob, parseRateLimit, parseUsers, type VisitorPlan } from "../config/visitor-plan.ts";
import type { Target } from "../forward/target.ts";
import type { UpstreamPlan } from "../forward/upstream-plan.ts";
import { InspectedAgent, type RecordingPlan } from "../inspected-agent.ts";
import type { TcpPlan, WebhookPlan } from "../running-tunnel.ts";
import type { Listener, TunnelOptions } from "../types.ts";
import { parseHook } from "../webhook/hooks.ts";
import { WebhookVerifier } from "../webhook/verifier.ts";
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
  const { way, stateDir, layers } = chooseRelayWay(options, options.authtoken);
  const inspect = readInspect(options.inspect, layers);
  const webhook = webhookPlan(options);
  const inspected = await InspectedAgent.open(
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
        isInspected: inspect.isRecording,
        ...options.upstream,
        ...(options.tcp !== undefined
          ? { tcp: options.tcp }
          : { visitors: visitorPlan(options), ...(webhook !== undefined && { webhook }) }),
        ...(options.timeoutMs !== undefined && { timeoutMs: options.timeoutMs }),
      },
    ],
    { ...inspect, quota: chooseHistoryQuota(layers), onNotice: (text) => process.emitWarning(text) },
  );
  const { agent, events } = inspected.running;
  let inspectorUrl: string | undefined;
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= inspected.close().then(() => onClosed?.());
    return closing;
  };
  const onAbort = (): void => void close();
  options.signal?.addEventListener("abort", onAbort, { once: true });
  const closed = agent.ended.then(async (error) => {
    options.signal?.removeEventListener("abort", onAbort);
    await close();
    return error;
  });
  try {
    if (inspect.address !== false) inspectorUrl = await inspected.openApi(inspect.address);
    options.signal?.throwIfAborted();
    agent.start();
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
    inspectorUrl: () => inspectorUrl,
    close,
    on: (event, listener) => events.on(event, listener),
    closed,
    [Symbol.asyncDispose]: close,
  };
}

/** What is recorded, and where it is shown. */
function readInspect(
  inspect: TunnelOptions["inspect"] = false,
  layers: Layers,
): Pick<RecordingPlan, "isRecording" | "redact"> & { readonly address: ListenAddress | false } {
  if (inspect === false) return { isRecording: false, address: false };
  const { webAddr, redact } = inspect === true ? {} : inspect;
  const named = webAddr === undefined || webAddr === false ? webAddr : parseListenAddress(String(webAddr));
  return {
    isRecording: true,
    address: named ?? chooseWebAddress(layers),
    ...(redact !== undefined && { redact }),
  };
}

function webhookPlan({ verifyWebhook = [], verifyWebhookMode }: TunnelOptions): WebhookPlan | undefined {
  if (verifyWebhook.length === 0) return undefined;
  const hooks = verifyWebhook.map((text) => parseHook(text, process.env));
  return { verifier: new WebhookVerifier(hooks), isEnforced: verifyWebhookMode !== "report" };
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
