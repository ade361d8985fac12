import { hostname, userInfo } from "node:os";
import { Agent } from "./agent/agent.ts";
import { EventHub } from "./agent/events.ts";
import { canonicalFolder, loadAgentId } from "./agent/identity.ts";
import { ExchangeStats } from "./inspector/exchange-stats.ts";
import { type AgentPlan, RunningTunnel, type TunnelPlan } from "./running-tunnel.ts";
import { CLIENT_VERSION } from "./version.ts";

/** An agent in the making or at work. */
export interface RunningAgent {
  readonly agent: Agent;
  readonly events: EventHub;
  /** All exchanges of all tunnels. */
  readonly stats: ExchangeStats;
  /** The tunnels it has, in the order in which they came. */
  readonly tunnels: readonly RunningTunnel[];
  /** Adds a tunnel; the others do not notice. */
  add(plan: TunnelPlan): RunningTunnel;
  /** Ends the tunnels, then what served them. */
  close(graceMs?: number): Promise<void>;
}

/** Puts agent and forwarders together. Nothing happens before `agent.start()`. */
export function composeAgent(plan: AgentPlan, tunnelPlans: readonly TunnelPlan[]): RunningAgent {
  const events = new EventHub();
  const stats = new ExchangeStats();
  const place = { stateDir: plan.stateDir, relayOrigin: plan.relay.origin, folder: canonicalFolder(plan.folder) };
  const agentId = loadAgentId({ stateDir: plan.stateDir, folder: plan.folder, relayOrigin: plan.relay.origin });
  const room = { plan, events, stats, place, ownerSecret: plan.token ?? agentId };
  const made = tunnelPlans.map((tunnelPlan) => new RunningTunnel(tunnelPlan, room));
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
    tunnels: made.map((tunnel) => tunnel.spec()),
  });
  for (const [at, tunnel] of made.entries()) tunnel.join(agent, agent.tunnels[at]);
  const all = new Set(made);
  events.on("tunnel.online", ({ name, url }) => {
    for (const tunnel of all) if (tunnel.plan.name === name) tunnel.remember(url);
  });
  const running: RunningAgent = {
    agent,
    events,
    stats,
    // A name that was lost for good has taken its tunnel from the agent's list.
    get tunnels() {
      return [...all].filter((tunnel) => tunnel.isKept);
    },
    add(tunnelPlan) {
      const tunnel = new RunningTunnel(tunnelPlan, room);
      all.add(tunnel);
      tunnel.join(agent, agent.add(tunnel.spec()));
      return tunnel;
    },
    async close(graceMs) {
      for (const tunnel of all) tunnel.app.stop();
      await agent.close(graceMs);
      // The sessions are over: what an exchange still waits for would reach nobody.
      await Promise.all([...all].map((tunnel) => tunnel.end()));
    },
  };
  return running;
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
