import { hostname, userInfo } from "node:os";
import { ResetCode } from "@ggrok/protocol";
import { Agent } from "./agent/agent.ts";
import { AppWatch } from "./agent/app-watch.ts";
import { recallName, releaseName, rememberName } from "./agent/chosen-names.ts";
import { EventHub } from "./agent/events.ts";
import { canonicalFolder, loadAgentId } from "./agent/identity.ts";
import type { RelayAddress } from "./config/relay-url.ts";
import { type VisitorPlan, visitorOptions } from "./config/visitor-plan.ts";
import type { ExchangeEvent } from "./forward/exchange.ts";
import type { OpenTap } from "./forward/exchange-tap.ts";
import { createForwarder } from "./forward/forwarder.ts";
import type { ProxyProtocolVersion } from "./forward/proxy-protocol.ts";
import type { Target } from "./forward/target.ts";
import { createTcpForwarder, type TcpForwarder } from "./forward/tcp.ts";
import { ExchangeStats } from "./inspector/exchange-stats.ts";
import { CLIENT_VERSION } from "./version.ts";

/** Everything decided: what remains is to do it. */
export interface TunnelPlan {
  readonly relay: RelayAddress;
  readonly token?: string;
  readonly proxy?: string;
  readonly ca?: string;
  readonly target: Target;
  /** The target as shown to people, and under which a chosen name is remembered. */
  readonly targetLabel: string;
  readonly name: string;
  readonly url?: string;
  readonly isPooling: boolean;
  readonly isTakeover: boolean;
  readonly isPrefixStripped: boolean;
  /** A TCP tunnel. */
  readonly tcp?: TcpPlan;
  /** Whom a tunnel of HTTP lets in. */
  readonly visitors?: VisitorPlan;
  readonly timeoutMs?: number;
  readonly retry: boolean;
  readonly folder: string;
  readonly stateDir: string;
  readonly onNotice?: (text: string) => void;
  readonly onExchange?: (event: ExchangeEvent) => void;
  /** Listens to the exchanges. */
  readonly openTap?: OpenTap;
  readonly onAppChange?: (isListening: boolean) => void;
}

/** What a TCP tunnel has beside what every tunnel has. */
export interface TcpPlan {
  /** Whoever reaches the relay may connect by name. */
  readonly isPublic: boolean;
  readonly cidrAllow?: readonly string[];
  readonly cidrDeny?: readonly string[];
  readonly proxyProtocol?: ProxyProtocolVersion;
}

/** A tunnel in the making or at work. */
export interface RunningTunnel {
  readonly agent: Agent;
  readonly events: EventHub;
  readonly stats: ExchangeStats;
  readonly app: AppWatch;
  /** Ends the tunnel, then what served it. */
  close(graceMs?: number): Promise<void>;
}

/** Puts agent and forwarder together. Nothing happens before `agent.start()`. */
export function composeTunnel(plan: TunnelPlan): RunningTunnel {
  const events = new EventHub();
  const stats = new ExchangeStats();
  const place = { stateDir: plan.stateDir, relayOrigin: plan.relay.origin, folder: canonicalFolder(plan.folder) };
  const app = new AppWatch(plan.target, (isListening) => plan.onAppChange?.(isListening));
  const onExchange = (exchange: ExchangeEvent): void => {
    if (exchange.phase === "start") stats.started();
    else finishExchange(exchange, { events, stats, app });
    plan.onExchange?.(exchange);
  };
  const forwarder = createForwarder({
    target: plan.target,
    tunnel: plan.name,
    onExchange,
    ...(plan.openTap !== undefined && { openTap: plan.openTap }),
    ...(plan.timeoutMs !== undefined && { timeoutMs: plan.timeoutMs }),
  });
  const tcp = plan.tcp === undefined ? undefined : composeTcp(plan, plan.tcp, { stats, app });
  const recalledUrl = plan.url === undefined ? recallName(place, plan.targetLabel) : undefined;
  const agentId = loadAgentId({ stateDir: plan.stateDir, folder: plan.folder, relayOrigin: plan.relay.origin });
  const options = plan.visitors === undefined ? undefined : visitorOptions(plan.visitors, plan.token ?? agentId);
  const agent = new Agent({
    relay: plan.relay,
    userAgent: `ggrok/${CLIENT_VERSION}`,
    ...(plan.token !== undefined && { token: plan.token }),
    ...(plan.proxy !== undefined && { proxy: plan.proxy }),
    ...(plan.ca !== undefined && { ca: plan.ca }),
    agentId,
    label: describeSelf(),
    retry: plan.retry,
    events,
    ...(plan.onNotice !== undefined && { onNotice: plan.onNotice }),
    tunnels: [
      {
        name: plan.name,
        target: plan.targetLabel,
        ...(plan.url !== undefined && { url: plan.url }),
        ...(recalledUrl !== undefined && { recalledUrl }),
        isPooling: plan.isPooling,
        isTakeover: plan.isTakeover,
        isPrefixStripped: plan.isPrefixStripped,
        ...(options !== undefined && { options }),
        onStream: (stream, head, fin) => forwarder.onStream(stream, head, fin),
        ...(tcp !== undefined && {
          tcp: {
            options: tcp.options,
            onConnection: (stream, head, fin) => tcp.forwarder.onConnection(stream, head, fin),
          },
        }),
      },
    ],
  });
  events.on("tunnel.online", ({ url }) => {
    // A TCP tunnel is announced a second time under its public port; its name is what it is known by.
    if (plan.url === undefined && url === agent.tunnels[0]?.url) rememberName(place, plan.targetLabel, url);
  });
  const close = async (graceMs?: number): Promise<void> => {
    app.stop();
    await agent.close(graceMs);
    // The sessions are over: what an exchange still waits for would reach nobody.
    tcp?.forwarder.destroy();
    forwarder.destroy();
    await forwarder.close();
    if (plan.url === undefined) releaseName(place, plan.targetLabel);
  };
  return { agent, events, stats, app, close };
}

function composeTcp(
  plan: TunnelPlan,
  tcp: TcpPlan,
  o: { stats: ExchangeStats; app: AppWatch },
): { forwarder: TcpForwarder; options: Readonly<Record<string, unknown>> } {
  const { isPublic, cidrAllow, cidrDeny, proxyProtocol } = tcp;
  const forwarder = createTcpForwarder({
    target: plan.target,
    ...(plan.timeoutMs !== undefined && { timeoutMs: plan.timeoutMs }),
    ...(proxyProtocol !== undefined && { proxyProtocol }),
    onOpen: () => o.stats.started(),
    onEnd: (durationMs, reset) => {
      o.stats.ended(durationMs);
      if (reset === ResetCode.UpstreamRefused) o.app.check();
    },
  });
  const options = {
    ...(isPublic && { public: true }),
    ...(cidrAllow !== undefined && { cidrAllow }),
    ...(cidrDeny !== undefined && { cidrDeny }),
  };
  return { forwarder, options };
}

function finishExchange(exchange: ExchangeEvent, o: { events: EventHub; stats: ExchangeStats; app: AppWatch }): void {
  const durationMs = exchange.durationMs ?? 0;
  o.stats.ended(durationMs);
  if (exchange.error === "ERR_GGROK_UPSTREAM_REFUSED") o.app.check();
  if (!o.events.hearsRequests) return;
  o.events.emit("request", {
    id: exchange.id,
    method: exchange.method,
    path: exchange.path,
    ...(exchange.status !== undefined && { status: exchange.status }),
    durationMs: Math.round(durationMs * 10) / 10,
    bytesIn: exchange.bytesIn ?? 0,
    bytesOut: exchange.bytesOut ?? 0,
  });
}

/** Who holds a name, for others with the same token. */
export function describeSelf(): string {
  let user = "someone";
  try {
    user = userInfo().username;
  } catch {
    // A container's user may have no name.
  }
  return `${user}@${hostname()}`.slice(0, 128);
}
