import { get } from "node:http";
import { startAgent, startRelay } from "./ggrok.ts";
import { Processes } from "./processes.ts";
import { startShaper } from "./shaper.ts";
import type { Origins, TargetContext } from "./targets.ts";

const ROUND_TRIP_MS = 100;
const DOWNLOAD_BYTES = 68_719_476_736;

/** One download over a distance: the mean over all the time, and of its second half, when windows have grown. */
export type DistanceFigures = { megabytesPerSecond: number; grownMegabytesPerSecond: number; seconds: number };

/** Download for `seconds` and count what arrives. */
async function countBytes(port: number, host: string, seconds: number): Promise<DistanceFigures> {
  let total = 0;
  let firstHalf = 0;
  await new Promise<void>((resolve, reject) => {
    const request = get({
      host: "127.0.0.1",
      port,
      path: `/bulk?n=${DOWNLOAD_BYTES}`,
      headers: { host },
      agent: false,
    });
    request.on("error", reject);
    request.on("response", (response) => {
      setTimeout(() => (firstHalf = total), seconds * 500);
      setTimeout(() => {
        response.destroy();
        resolve();
      }, seconds * 1_000);
      response.on("data", (chunk: Buffer) => (total += chunk.length));
      // Destroying it is how the measurement ends; an earlier end shows in the mean.
      response.on("error", () => {});
    });
  });
  const mean = total / 1e6 / seconds;
  return { megabytesPerSecond: mean, grownMegabytesPerSecond: (total - firstHalf) / 1e6 / (seconds / 2), seconds };
}

/** One stream through a tunnel whose link has a round trip of 100 ms: shows whether the windows grow. */
export async function measureDistance(
  context: TargetContext,
  origins: Origins,
  seconds: number,
): Promise<DistanceFigures> {
  await using processes = new Processes();
  const relay = await startRelay(processes, context.programs);
  const link = await startShaper(processes, { kind: "delay", ms: ROUND_TRIP_MS / 2 }, relay.port);
  const { directory, programs } = context;
  const agent = await startAgent(processes, programs, {
    name: "far",
    upstreamPort: origins.bulk,
    dialPort: link.port,
    directory,
  });
  // Awaited here: the processes end with this block.
  return await countBytes(relay.port, agent.host, seconds);
}
