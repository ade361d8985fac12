import { join } from "node:path";
import { observe, type Role } from "./proc-stats.ts";
import { Processes } from "./processes.ts";
import { median, spread } from "./statistics.ts";
import type { TargetContext } from "./targets.ts";
import { measureTcpIdle, type TcpIdleFigures } from "./tcp-idle.ts";
import { loadEcho, moveBulk } from "./tcp-load.ts";
import { startTcpOrigins, startTcpTargets, type TcpTarget } from "./tcp-targets.ts";

/** Medians of the rounds of small messages. */
export type TcpEchoFigures = {
  readonly messagesPerSecond: number;
  readonly spread: number;
  /** Of relay and agent together. */
  readonly cpuMicrosPerMessage: number;
};

/** Medians of the transfers of one direction; growth is the most of any of them. */
export type TcpBulkFigures = {
  readonly megabytesPerSecond: number;
  readonly spread: number;
  readonly cpuMicrosPerMiB: number;
  readonly growthMiB: Partial<Record<Role, number>>;
};

/** What the TCP part measured, by target. */
export type TcpFigures = {
  readonly echo: Record<string, TcpEchoFigures>;
  readonly bulk: Record<string, { readonly down: TcpBulkFigures; readonly up: TcpBulkFigures }>;
  readonly idle: TcpIdleFigures;
};

const ECHO = { connections: 64, messageBytes: 64, inFlight: 16 };

type EchoRun = { perSecond: number; cpuMicros: number };
type BulkRun = { megabytesPerSecond: number; cpuMicrosPerMiB: number; growthMiB: Partial<Record<Role, number>> };

async function runEcho({ small }: TcpTarget, seconds: number): Promise<EchoRun> {
  const { result, use, wallMs } = await observe(small.pids, () => loadEcho(small.port, { ...ECHO, seconds }));
  const cpu = Object.values(use).reduce((total, one) => total + one.cpuMicros, 0);
  // Over all of the time, warm-up included: the rate hardly moves.
  return { perSecond: result, cpuMicros: cpu / ((result * wallMs) / 1_000) };
}

async function runBulk({ bulk }: TcpTarget, direction: "down" | "up", bytes: number): Promise<BulkRun> {
  const { result, use } = await observe(bulk.pids, () => moveBulk(bulk.port, direction, bytes));
  const growthMiB: BulkRun["growthMiB"] = {};
  let cpu = 0;
  for (const role of ["relay", "agent"] as const) {
    const used = use[role];
    if (used === undefined) continue;
    cpu += used.cpuMicros;
    growthMiB[role] = used.peakRssMiB - used.startRssMiB;
  }
  return { megabytesPerSecond: result, cpuMicrosPerMiB: cpu / (bytes / 1_048_576), growthMiB };
}

function summariseEcho(runs: readonly EchoRun[]): TcpEchoFigures {
  const rates = runs.map((run) => run.perSecond);
  return {
    messagesPerSecond: median(rates) ?? 0,
    spread: spread(rates) ?? 0,
    cpuMicrosPerMessage: median(runs.map((run) => run.cpuMicros)) ?? 0,
  };
}

function summariseBulk(runs: readonly BulkRun[]): TcpBulkFigures {
  const speeds = runs.map((run) => run.megabytesPerSecond);
  const growthMiB: BulkRun["growthMiB"] = {};
  for (const role of ["relay", "agent"] as const) {
    const grown = runs.flatMap((run) => run.growthMiB[role] ?? []);
    if (grown.length > 0) growthMiB[role] = Math.max(...grown);
  }
  return {
    megabytesPerSecond: median(speeds) ?? 0,
    spread: spread(speeds) ?? 0,
    cpuMicrosPerMiB: median(runs.map((run) => run.cpuMicrosPerMiB)) ?? 0,
    growthMiB,
  };
}

/** Small messages over long connections, bulk over one, and connections that say nothing. */
export async function measureTcp(
  context: TargetContext,
  o: { runs: number; seconds: number; bulkBytes: number; idleConnections: number },
  tell: (text: string) => void,
): Promise<TcpFigures> {
  await using processes = new Processes();
  // A folder of its own: the keys of the other parts' ssh stand beside it.
  const own = { ...context, processes, directory: join(context.directory, "tcp") };
  const origins = await startTcpOrigins(processes);
  const targets = await startTcpTargets(own, origins);
  const runs = new Map(
    targets.map(({ name }) => [name, { echo: [] as EchoRun[], down: [] as BulkRun[], up: [] as BulkRun[] }]),
  );
  for (const target of targets) await runEcho(target, 1);
  for (let turn = 1; turn <= o.runs; turn += 1) {
    for (const target of targets) {
      tell(`${turn}/${o.runs}  TCP echo and bulk  ${target.name}`);
      const seen = runs.get(target.name);
      seen?.echo.push(await runEcho(target, o.seconds));
      seen?.down.push(await runBulk(target, "down", o.bulkBytes));
      seen?.up.push(await runBulk(target, "up", o.bulkBytes));
    }
  }
  tell("idle TCP connections");
  const idle = await measureTcpIdle(context, o.idleConnections);
  const all = [...runs];
  return {
    echo: Object.fromEntries(all.map(([name, { echo }]) => [name, summariseEcho(echo)])),
    bulk: Object.fromEntries(
      all.map(([name, { down, up }]) => [name, { down: summariseBulk(down), up: summariseBulk(up) }]),
    ),
    idle,
  };
}
