import { fileURLToPath } from "node:url";
import { observe, type Role } from "./proc-stats.ts";
import { runToEnd } from "./processes.ts";
import { median, spread, sum } from "./statistics.ts";
import type { Target } from "./targets.ts";

const SCRIPT = fileURLToPath(new URL("./wrk.lua", import.meta.url));

/** One run of wrk: keep-alive connections, one thread, a 1 KiB answer. */
export type SmallRun = {
  requestsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
  errors: number;
  busyCores: number;
  cpuMicrosPerRequest: Partial<Record<Role, number>>;
  peakRssMiB: Partial<Record<Role, number>>;
};

/** Medians over the runs; errors are summed, memory is the highest seen. */
export type SmallFigures = Omit<SmallRun, "maxMs"> & { spread: number; cpuMicrosPerRequestSum: number | undefined };

type WrkResult = { requests: number; micros: number; p50: number; p99: number; max: number; errors: number };

/** Load one URL with wrk and give its counters. */
export async function runWrk(o: {
  url: string;
  host: string;
  connections: number;
  seconds: number;
}): Promise<WrkResult> {
  const args = [
    "-t1",
    `-c${o.connections}`,
    `-d${o.seconds}s`,
    "--timeout",
    "10s",
    "-s",
    SCRIPT,
    "-H",
    `Host: ${o.host}`,
    o.url,
  ];
  const { stdout, stderr } = await runToEnd("wrk", args, (o.seconds + 30) * 1_000);
  const line = /JSON (.*)/.exec(stdout)?.[1];
  if (line === undefined) throw new Error(`wrk gave no result for ${o.url}: ${stdout}${stderr}`);
  return JSON.parse(line) as WrkResult;
}

/** Measure one target once. */
export async function measureSmall(target: Target, connections: number, seconds: number): Promise<SmallRun> {
  const { result, use, busyCores } = await observe(target.small.pids, () =>
    runWrk({ url: `${target.small.url}/1k`, host: target.small.host, connections, seconds }),
  );
  const run: SmallRun = {
    requestsPerSecond: result.requests / (result.micros / 1e6),
    p50Ms: result.p50 / 1e3,
    p99Ms: result.p99 / 1e3,
    maxMs: result.max / 1e3,
    errors: result.errors,
    busyCores,
    cpuMicrosPerRequest: {},
    peakRssMiB: {},
  };
  for (const role of ["relay", "agent"] as const) {
    const used = use[role];
    if (used === undefined) continue;
    if (result.requests > 0) run.cpuMicrosPerRequest[role] = used.cpuMicros / result.requests;
    run.peakRssMiB[role] = used.peakRssMiB;
  }
  return run;
}

/** Medians of the runs of one target at one number of connections. */
export function summariseSmall(runs: readonly SmallRun[]): SmallFigures {
  const middle = (pick: (run: SmallRun) => number): number => median(runs.map(pick)) ?? Number.NaN;
  const cpu: SmallFigures["cpuMicrosPerRequest"] = {};
  const rss: SmallFigures["peakRssMiB"] = {};
  for (const role of ["relay", "agent"] as const) {
    const perRequest = median(runs.flatMap((run) => run.cpuMicrosPerRequest[role] ?? []));
    if (perRequest === undefined) continue;
    cpu[role] = perRequest;
    rss[role] = Math.max(...runs.map((run) => run.peakRssMiB[role] ?? 0));
  }
  return {
    requestsPerSecond: middle((run) => run.requestsPerSecond),
    spread: spread(runs.map((run) => run.requestsPerSecond)) ?? Number.NaN,
    p50Ms: middle((run) => run.p50Ms),
    p99Ms: middle((run) => run.p99Ms),
    errors: sum(...runs.map((run) => run.errors)) ?? 0,
    busyCores: middle((run) => run.busyCores),
    cpuMicrosPerRequest: cpu,
    // The median of sums, not the sum of medians: relay and agent take from each other within a run.
    cpuMicrosPerRequestSum: median(
      runs.flatMap((run) => sum(...Object.values(run.cpuMicrosPerRequest)) ?? []).filter((value) => value > 0),
    ),
    peakRssMiB: rss,
  };
}
