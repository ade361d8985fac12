import { Agent, request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { startAgent, startRelay } from "./ggrok.ts";
import { observe } from "./proc-stats.ts";
import { Processes, pickFreePort } from "./processes.ts";
import { runWrk } from "./small.ts";
import { median, ratio, sum } from "./statistics.ts";
import type { Endpoint, Origins, TargetContext } from "./targets.ts";

const RATE_PER_SECOND = 1_000;
const CONNECTIONS = 16;
const TICK_MS = 5;
const WARM_UP_SECONDS = 5;
const TURN_SECONDS = 1;
const WRITTEN_AFTER_MS = 100;

/** CPU per request of agents that record and of one that does not, at the same rate in turns of one run. */
export type CaptureFigures = {
  requestsPerSecond: number;
  offAgentMicros: number;
  onAgentMicros: number;
  offSumMicros: number;
  onSumMicros: number;
  /** Relay + agent, recording / not recording. */
  costRatio: number;
  offP99Ms: number;
  onP99Ms: number;
  /** Exchanges that were seen but not recorded while measured. */
  dropped: number;
  errors: number;
};

type Turn = { agentMicros: number; sumMicros: number; p99Ms: number; errors: number; perSecond: number };

/** Measure what recording costs: two agents on one relay, one records; its history is full, so the oldest make room all the time. */
export async function measureCapture(
  context: TargetContext,
  origins: Origins,
  o: { seconds: number; runs: number },
): Promise<CaptureFigures> {
  await using processes = new Processes();
  const { programs, directory } = context;
  const relay = await startRelay(processes, programs);
  const start = async (name: string, webPort?: number): Promise<Endpoint> => {
    const agent = await startAgent(processes, programs, {
      name,
      upstreamPort: origins.small,
      dialPort: relay.port,
      directory,
      ...(webPort !== undefined && { webPort }),
    });
    return { url: relay.url, host: agent.host, pids: { relay: [relay.pid], agent: [agent.pid] } };
  };
  const webPort = await pickFreePort();
  const [off, on] = [await start("capture-off"), await start("capture-on", webPort)];
  // More than a history holds, and until most is compiled: that happens once, and recording has more to compile.
  for (const { url, host } of [off, on]) {
    await runWrk({ url: `${url}/1k`, host, connections: CONNECTIONS, seconds: WARM_UP_SECONDS });
  }
  const before = await readDropped(webPort);
  const turns: { off: Turn[]; on: Turn[] } = { off: [], on: [] };
  // Many short turns rather than few long ones: other work on the machine comes and goes.
  for (let run = 0; run < o.runs * o.seconds; run += 1) {
    // Each goes first every other time: a machine that becomes faster or slower favours neither.
    for (const side of run % 2 === 0 ? (["off", "on"] as const) : (["on", "off"] as const)) {
      turns[side].push(await measureTurn(side === "off" ? off : on));
    }
  }
  const middle = (side: readonly Turn[], pick: (turn: Turn) => number): number => median(side.map(pick)) ?? Number.NaN;
  const [offSumMicros, onSumMicros] = [
    middle(turns.off, (turn) => turn.sumMicros),
    middle(turns.on, (turn) => turn.sumMicros),
  ];
  return {
    requestsPerSecond: middle([...turns.off, ...turns.on], (turn) => turn.perSecond),
    offAgentMicros: middle(turns.off, (turn) => turn.agentMicros),
    onAgentMicros: middle(turns.on, (turn) => turn.agentMicros),
    offSumMicros,
    onSumMicros,
    costRatio: ratio(onSumMicros, offSumMicros) ?? Number.NaN,
    offP99Ms: middle(turns.off, (turn) => turn.p99Ms),
    onP99Ms: middle(turns.on, (turn) => turn.p99Ms),
    dropped: (await readDropped(webPort)) - before,
    errors: sum(...[...turns.off, ...turns.on].map((turn) => turn.errors)) ?? 0,
  };
}

async function measureTurn(endpoint: Endpoint): Promise<Turn> {
  const { result, use } = await observe(endpoint.pids, async () => {
    const sent = await sendPaced(endpoint, TURN_SECONDS);
    // What is written behind the last answer counts as well.
    await delay(WRITTEN_AFTER_MS);
    return sent;
  });
  const count = result.latencies.length;
  const perRequest = (role: "relay" | "agent"): number => (use[role]?.cpuMicros ?? Number.NaN) / count;
  const sorted = result.latencies.sort((a, b) => a - b);
  return {
    agentMicros: perRequest("agent"),
    sumMicros: perRequest("relay") + perRequest("agent"),
    p99Ms: sorted[Math.floor(count * 0.99)] ?? Number.NaN,
    errors: result.errors,
    perSecond: (count / result.wallMs) * 1_000,
  };
}

/** So many requests a second whatever the answers take; late ones are made up for. */
async function sendPaced(
  endpoint: Endpoint,
  seconds: number,
): Promise<{ latencies: number[]; errors: number; wallMs: number }> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const latencies: number[] = [];
  let errors = 0;
  const send = (): Promise<void> =>
    new Promise((done) => {
      const startedAt = performance.now();
      const call = request(`${endpoint.url}/1k`, { agent, headers: { host: endpoint.host } }, (response) => {
        response.resume().on("close", () => {
          if (response.statusCode === 200) latencies.push(performance.now() - startedAt);
          else errors += 1;
          done();
        });
      });
      call.on("error", () => {
        errors += 1;
        done();
      });
      call.end();
    });
  const total = RATE_PER_SECOND * seconds;
  const sent: Promise<void>[] = [];
  const startedAt = performance.now();
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const due = Math.min(total, Math.floor(((performance.now() - startedAt) / 1_000) * RATE_PER_SECOND));
      while (sent.length < due) sent.push(send());
      if (sent.length < total) return;
      clearInterval(timer);
      resolve();
    }, TICK_MS);
  });
  await Promise.all(sent);
  const wallMs = performance.now() - startedAt;
  agent.destroy();
  return { latencies, errors, wallMs };
}

async function readDropped(webPort: number): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${webPort}/api/requests/http?limit=1`);
  const { stats } = (await answer.json()) as { stats: { dropped: number } };
  return stats.dropped;
}
