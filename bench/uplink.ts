import { startAgent, startRelay } from "./ggrok.ts";
import { type MixedFigures, measureMixed } from "./mixed.ts";
import { Processes } from "./processes.ts";
import { startShaper } from "./shaper.ts";
import type { Origins, TargetContext } from "./targets.ts";

const UPLINK_BYTES_PER_SECOND = 2_000_000;
const DOWNLOADS = 4;

/**
 * Small requests beside downloads where the agent's uplink is the bottleneck: what someone sees who shares a page while
 * a colleague fetches a file. One request at a time, since it is the waiting that counts.
 */
export async function measureUplink(context: TargetContext, origins: Origins, seconds: number): Promise<MixedFigures> {
  await using processes = new Processes();
  const relay = await startRelay(processes, context.programs);
  const link = await startShaper(processes, { kind: "rate", bytesPerSecond: UPLINK_BYTES_PER_SECOND }, relay.port);
  const { directory, programs } = context;
  const agent = await startAgent(processes, programs, {
    name: "uplink",
    upstreamPort: origins.bulk,
    dialPort: link.port,
    directory,
  });
  const endpoint = { url: relay.url, host: agent.host, pids: {} };
  // Awaited here: the processes end with this block.
  return await measureMixed(endpoint, { seconds, downloads: DOWNLOADS, connections: 1 });
}
