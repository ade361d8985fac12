import { canonicalFolder } from "./agent/identity.ts";
import { composeAgent, type RunningAgent } from "./compose.ts";
import type { HistoryQuota } from "./config/inspector-settings.ts";
import type { ListenAddress } from "./config/values.ts";
import type { DraftRecord } from "./inspector/exchange-record.ts";
import { Inspection } from "./inspector/inspection.ts";
import type { AgentPlan, RunningTunnel, TunnelPlan } from "./running-tunnel.ts";
import { CLIENT_VERSION } from "./version.ts";
import type { JudgedRequest } from "./webhook/verifier.ts";

/** What is recorded of an agent's exchanges. */
export interface RecordingPlan {
  /** False: nothing is recorded. */
  readonly isRecording: boolean;
  /** Names whose values are not written. */
  readonly redact?: readonly string[];
  readonly quota?: HistoryQuota;
  /** Hears in one line what the user should know. */
  readonly onNotice: (text: string) => void;
}

/** An agent whose exchanges are recorded, and shown on a local API where one is asked for. */
export class InspectedAgent {
  readonly running: RunningAgent;
  readonly #plan: AgentPlan;
  readonly #isRecording: boolean;
  readonly #inspection: Inspection;

  private constructor(o: { running: RunningAgent; plan: AgentPlan; isRecording: boolean; inspection: Inspection }) {
    this.running = o.running;
    this.#plan = o.plan;
    this.#isRecording = o.isRecording;
    this.#inspection = o.inspection;
  }

  /** Opens the history, and puts the agent together. The relay hears nothing before `running.agent.start()`. */
  static async open(
    plan: AgentPlan,
    tunnels: readonly TunnelPlan[],
    recording: RecordingPlan,
  ): Promise<InspectedAgent> {
    const { isRecording } = recording;
    // Nothing passes before the agent is there.
    let running: RunningAgent | undefined;
    const inspection = await Inspection.open({
      ...recording,
      stateDir: plan.stateDir,
      folder: canonicalFolder(plan.folder),
      verifierOf: (name) => {
        const verifier = findTunnel(running, name)?.plan.webhook?.verifier;
        return verifier === undefined ? undefined : (record, body) => verifier.judge(judgedOf(record, body));
      },
      urlOf: (name) => findTunnel(running, name)?.url,
    });
    try {
      running = composeAgent({ ...plan, openTap: (tunnel) => inspection.openTap(tunnel) }, tunnels);
    } catch (error) {
      await inspection.close();
      throw error;
    }
    return new InspectedAgent({ running, plan, isRecording, inspection });
  }

  /** Starts the local API. @returns the page's address, which carries the token where reading needs one */
  async openApi(address: ListenAddress): Promise<string> {
    const { running } = this;
    const { agent, events } = running;
    const { url } = await this.#inspection.listen(address, {
      version: CLIENT_VERSION,
      relay: this.#plan.relay.origin,
      isOnline: () => agent.isOnline,
      phase: () => agent.phase,
      latencyMs: () => agent.latencyMs,
      forwarderOf: (name) => findTunnel(running, name)?.forwarder,
      sign: (request, record) => {
        const { url, plan } = findTunnel(running, record.tunnel) ?? {};
        const fields = plan?.webhook?.verifier.sign({
          ...request,
          nowMs: Date.now(),
          ...(url !== undefined && { url }),
        });
        return fields === undefined ? undefined : { ...request, fields };
      },
      tunnels: () =>
        running.tunnels.map(({ plan, url, stats }) => ({
          name: plan.name,
          url,
          target: plan.targetLabel,
          isInspected: plan.isInspected && this.#isRecording,
          figures: stats.read(),
        })),
    });
    events.emit("inspector.online", { url });
    return url;
  }

  /** Ends the tunnels, writes what waits, and lets go of everything. */
  async close(graceMs?: number): Promise<void> {
    await this.running.close(graceMs);
    await this.#inspection.close();
  }
}

function findTunnel(running: RunningAgent | undefined, name: string): RunningTunnel | undefined {
  return running?.tunnels.find(({ plan }) => plan.name === name);
}

function judgedOf({ request, timings, url }: DraftRecord, body: Buffer): JudgedRequest {
  return { target: request.target, fields: request.fields, body, nowMs: timings.receivedAt, url };
}
