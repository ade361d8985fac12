import { GgrokError } from "@ggrok/protocol";
import type { Sessions } from "../admin/routes/sessions.ts";
import type { SessionView } from "../admin/views.ts";
import { Agent } from "../control/agent.ts";
import type { AgentDirectory } from "../control/directory.ts";
import { RELAY_LIMITS } from "../limits.ts";
import type { Registry } from "../registry/registry.ts";

/** The sessions of control as the admin API shows and ends them; the two do not know each other. */
export function createSessions(directory: AgentDirectory, registry: Registry): Sessions {
  return {
    list() {
      const urls = new Map<unknown, string[]>();
      for (const { url, members } of registry.endpoints) {
        for (const { owner } of members) {
          const known = urls.get(owner);
          if (known === undefined) urls.set(owner, [url]);
          else known.push(url);
        }
      }
      return directory.all.map((agent) => view(agent, directory, urls.get(agent) ?? []));
    },
    of(owner) {
      return owner instanceof Agent ? { id: owner.id, token: owner.rights.label } : undefined;
    },
    disconnect(id) {
      const agent = directory.bySession(id);
      if (agent === undefined) return false;
      void disconnect(agent);
      return true;
    },
  };
}

function view(agent: Agent, directory: AgentDirectory, tunnels: string[]): SessionView {
  return {
    id: agent.id,
    agent: agent.label,
    token: agent.rights.label,
    owner: agent.principal,
    state: agent.session.state,
    startedAt: new Date(directory.sinceOf(agent)).toISOString(),
    streams: agent.session.streamCount,
    tunnels,
  };
}

/** Tells the agent not to come back, lets open exchanges end for a while, and gives its names up. */
async function disconnect(agent: Agent): Promise<void> {
  const reason = "the relay's operator ended this session";
  agent.session.sendControl({ type: "drain", reason, reconnect: "never", deadlineMs: RELAY_LIMITS.disconnectMs });
  if (!agent.isAway) await agent.session.close(RELAY_LIMITS.disconnectMs);
  agent.destroy(new GgrokError("ERR_GGROK_ENDED_BY_OPERATOR", { message: reason }));
}
