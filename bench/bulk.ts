import { observe, type Role } from "./proc-stats.ts";
import { runToEnd } from "./processes.ts";
import { median, spread, sum } from "./statistics.ts";
import type { Target } from "./targets.ts";

/** Which way the bytes go, seen by the visitor. */
export type Direction = "down" | "up";

/** One transfer by curl. */
export type BulkRun = {
  megabytesPerSecond: number;
  complete: boolean;
  busyCores: number;
  cpuMicrosPerMiB: Partial<Record<Role, number>>;
  peakRssMiB: Partial<Record<Role, number>>;
};

/** Medians over the runs; `incomplete` counts transfers that ended short or not with 200. */
export type BulkFigures = Omit<BulkRun, "complete"> & {
  spread: number;
  incomplete: number;
  cpuMicrosPerMiBSum: number | undefined;
};

const MAX_SECONDS = 60;
const FORMAT = "%{http_code} %{size_download} %{size_upload} %{time_total}";

/** Arguments of curl for a download that is thrown away. */
export function curlDownload(o: {
  url: string;
  host: string;
  bytes: number;
  maxSeconds: number;
  extra?: readonly string[];
}): string[] {
  return [
    "-sS",
    ...["-o", "/dev/null", "-w", FORMAT, "--max-time", String(o.maxSeconds), "-H", `Host: ${o.host}`],
    ...(o.extra ?? []),
    `${o.url}/bulk?n=${o.bytes}`,
  ];
}

/** Measure one transfer of `bytes`; `uploadFile` has that length. */
export async function measureBulk(
  target: Target,
  direction: Direction,
  bytes: number,
  uploadFile: string,
): Promise<BulkRun> {
  const { url, host, pids } = target.bulk;
  // Without "Expect:" curl would wait a second for 100 Continue where a target does not answer it.
  const args =
    direction === "down"
      ? curlDownload({ url, host, bytes, maxSeconds: MAX_SECONDS })
      : ["-sS", "-o", "/dev/null", "-w", FORMAT, "--max-time", String(MAX_SECONDS), "-H", `Host: ${host}`].concat([
          "-H",
          "Expect:",
          "-T",
          uploadFile,
          `${url}/sink`,
        ]);
  const { result, use, busyCores } = await observe(pids, () => runToEnd("curl", args, (MAX_SECONDS + 10) * 1_000));
  const [status = 0, down = 0, up = 0, seconds = 0] = result.stdout.trim().split(" ").map(Number);
  const moved = direction === "down" ? down : up;
  const run: BulkRun = {
    megabytesPerSecond: seconds > 0 ? moved / 1e6 / seconds : 0,
    complete: result.code === 0 && status === 200 && moved === bytes,
    busyCores,
    cpuMicrosPerMiB: {},
    peakRssMiB: {},
  };
  for (const role of ["relay", "agent"] as const) {
    const used = use[role];
    if (used === undefined) continue;
    run.cpuMicrosPerMiB[role] = used.cpuMicros / (moved / 1_048_576);
    run.peakRssMiB[role] = used.peakRssMiB;
  }
  return run;
}

/** Medians of the transfers of one target in one direction. Incomplete ones are counted, not averaged. */
export function summariseBulk(all: readonly BulkRun[]): BulkFigures {
  const runs = all.filter((run) => run.complete);
  const cpu: BulkFigures["cpuMicrosPerMiB"] = {};
  const rss: BulkFigures["peakRssMiB"] = {};
  for (const role of ["relay", "agent"] as const) {
    const perMiB = median(runs.flatMap((run) => run.cpuMicrosPerMiB[role] ?? []));
    if (perMiB === undefined) continue;
    cpu[role] = perMiB;
    rss[role] = Math.max(...runs.map((run) => run.peakRssMiB[role] ?? 0));
  }
  const speeds = runs.map((run) => run.megabytesPerSecond);
  return {
    megabytesPerSecond: median(speeds) ?? 0,
    spread: spread(speeds) ?? 0,
    incomplete: all.length - runs.length,
    busyCores: median(runs.map((run) => run.busyCores)) ?? 0,
    cpuMicrosPerMiB: cpu,
    cpuMicrosPerMiBSum: median(
      runs.flatMap((run) => sum(...Object.values(run.cpuMicrosPerMiB)) ?? []).filter((value) => value > 0),
    ),
    peakRssMiB: rss,
  };
}
