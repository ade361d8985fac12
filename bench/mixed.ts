import { curlDownload } from "./bulk.ts";
import { runToEnd } from "./processes.ts";
import { runWrk } from "./small.ts";
import type { Endpoint } from "./targets.ts";

/** Small requests beside downloads in one tunnel. */
export type MixedFigures = {
  requestsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
  errors: number;
  bulkMegabytesPerSecond: number;
};

const DOWNLOADS = 2;
const CONNECTIONS = 8;
/** More than any target moves while the small requests run; the time limit ends the downloads. */
const DOWNLOAD_BYTES = 68_719_476_736;
const HEAD_START_SECONDS = 1;

/**
 * Run wrk on `small` while downloads run on the same endpoint, which therefore needs an origin with `/1k` and `/bulk`.
 * The downloads start earlier and end later, so that no small request has the tunnel to itself.
 */
export async function measureMixed(
  { url, host }: Endpoint,
  o: { seconds: number; downloads?: number; connections?: number },
): Promise<MixedFigures> {
  const maxSeconds = o.seconds + HEAD_START_SECONDS + 1;
  const downloads = Array.from({ length: o.downloads ?? DOWNLOADS }, () =>
    runToEnd("curl", curlDownload({ url, host, bytes: DOWNLOAD_BYTES, maxSeconds }), (maxSeconds + 10) * 1_000),
  );
  await new Promise((resolve) => setTimeout(resolve, HEAD_START_SECONDS * 1_000));
  const result = await runWrk({
    url: `${url}/1k`,
    host,
    connections: o.connections ?? CONNECTIONS,
    seconds: o.seconds,
  });
  const moved = (await Promise.all(downloads)).map(({ stdout }) => Number(stdout.trim().split(" ")[1] ?? 0));
  return {
    requestsPerSecond: result.requests / (result.micros / 1e6),
    p50Ms: result.p50 / 1e3,
    p99Ms: result.p99 / 1e3,
    errors: result.errors,
    bulkMegabytesPerSecond: moved.reduce((total, bytes) => total + bytes, 0) / 1e6 / maxSeconds,
  };
}
