import { curlDownload } from "./bulk.ts";
import { observe } from "./proc-stats.ts";
import { Processes, runToEnd } from "./processes.ts";
import { type Origins, startGgrokTarget, type TargetContext } from "./targets.ts";

const READERS = 16;
const RATE = "10M";
const BYTES = 1_073_741_824;

/** How far the resident sets rise while readers are slower than the app. */
export type SlowReaderFigures = {
  relayGrowthMiB: number;
  agentGrowthMiB: number;
  relayPeakMiB: number;
  agentPeakMiB: number;
};

/**
 * Slow readers on a fresh relay and agent: after a bulk run the heaps would already be large and the growth look small.
 */
export async function measureSlowReaders(
  context: TargetContext,
  origins: Origins,
  seconds: number,
): Promise<SlowReaderFigures> {
  await using processes = new Processes();
  const { bulk } = await startGgrokTarget({ ...context, processes }, origins);
  const read = (bytes: number, maxSeconds: number, extra: readonly string[]) =>
    runToEnd("curl", curlDownload({ ...bulk, bytes, maxSeconds, extra }), (maxSeconds + 10) * 1_000);
  // The first request compiles the path; that is no growth by readers.
  await read(1_048_576, 5, []);
  const { use } = await observe(bulk.pids, () =>
    Promise.all(Array.from({ length: READERS }, () => read(BYTES, seconds, ["--limit-rate", RATE]))),
  );
  const { relay, agent } = use;
  if (relay === undefined || agent === undefined) throw new Error("relay or agent was not observed");
  return {
    relayGrowthMiB: relay.peakRssMiB - relay.startRssMiB,
    agentGrowthMiB: agent.peakRssMiB - agent.startRssMiB,
    relayPeakMiB: relay.peakRssMiB,
    agentPeakMiB: agent.peakRssMiB,
  };
}
