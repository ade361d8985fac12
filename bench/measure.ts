import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type BulkRun, measureBulk, summariseBulk } from "./bulk.ts";
import { measureDistance } from "./distance.ts";
import type { Measurements } from "./goals.ts";
import { measureIdle } from "./idle.ts";
import { measureMixed } from "./mixed.ts";
import { measureSlowReaders } from "./slow-readers.ts";
import { measureSmall, type SmallRun, summariseSmall } from "./small.ts";
import { startOrigins, startTargets, type Target, type TargetContext, TargetName } from "./targets.ts";
import { measureUplink } from "./uplink.ts";

/** Parts of a run, in the order they run. */
export const PARTS = ["small", "bulk", "mixed", "uplink", "slow-readers", "idle", "distance"] as const;
/** One of {@link PARTS}. */
export type Part = (typeof PARTS)[number];

/** How much to measure. */
export type Settings = {
  readonly runs: number;
  /** Length of one run of wrk. */
  readonly seconds: number;
  readonly connections: readonly number[];
  readonly bulkBytes: number;
  readonly idleTunnels: number;
  readonly parts: readonly Part[];
  /** Names of targets; all when absent. */
  readonly targets?: readonly string[];
};

const WARM_UP_CONNECTIONS = 16;
/** Targets whose small requests beside downloads are worth comparing. */
const MIXED_TARGETS: readonly string[] = [TargetName.Ggrok, TargetName.SshNoDelay, TargetName.UndiciProxy];

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function runSmall(targets: readonly Target[], settings: Settings): Promise<Measurements["small"]> {
  for (const target of targets) await measureSmall(target, WARM_UP_CONNECTIONS, settings.seconds);
  const seen = new Map<string, Map<string, SmallRun[]>>();
  for (let round = 0; round < settings.runs; round += 1) {
    for (const connections of settings.connections) {
      // Targets in turn within each round, so that a bad moment of the machine hits all of them.
      for (const target of targets) {
        console.error(`round ${round + 1}/${settings.runs}  c=${connections}  ${target.name}`);
        const run = await measureSmall(target, connections, settings.seconds);
        const byConnections = seen.get(target.name) ?? new Map<string, SmallRun[]>();
        byConnections.set(String(connections), [...(byConnections.get(String(connections)) ?? []), run]);
        seen.set(target.name, byConnections);
        await pause(200);
      }
    }
  }
  return Object.fromEntries(
    [...seen].map(([name, runs]) => [
      name,
      Object.fromEntries([...runs].map(([c, list]) => [c, summariseSmall(list)])),
    ]),
  );
}

async function runBulk(
  targets: readonly Target[],
  settings: Settings,
  directory: string,
): Promise<Measurements["bulk"]> {
  const uploadFile = join(directory, "upload");
  await writeFile(uploadFile, "");
  // Sparse: the upload costs no disk, and its bytes are the same for every target.
  await truncate(uploadFile, settings.bulkBytes);
  const seen = new Map<string, { down: BulkRun[]; up: BulkRun[] }>();
  for (let round = 0; round < settings.runs; round += 1) {
    for (const target of targets) {
      const runs = seen.get(target.name) ?? { down: [], up: [] };
      seen.set(target.name, runs);
      for (const direction of ["down", "up"] as const) {
        console.error(`round ${round + 1}/${settings.runs}  bulk ${direction}  ${target.name}`);
        runs[direction].push(await measureBulk(target, direction, settings.bulkBytes, uploadFile));
        await pause(200);
      }
    }
  }
  return Object.fromEntries(
    [...seen].map(([name, runs]) => [name, { down: summariseBulk(runs.down), up: summariseBulk(runs.up) }]),
  );
}

async function runMixed(targets: readonly Target[], settings: Settings): Promise<NonNullable<Measurements["mixed"]>> {
  const figures: NonNullable<Measurements["mixed"]> = {};
  for (const target of targets.filter(({ name }) => MIXED_TARGETS.includes(name))) {
    console.error(`small requests beside downloads  ${target.name}`);
    figures[target.name] = await measureMixed(target.bulk, { seconds: settings.seconds + 2 });
  }
  return figures;
}

/** What a run gave: figures, peers that are not installed, and what went wrong. */
export type Outcome = { measurements: Measurements; skipped: string[]; failures: string[] };

/** Start what is compared and measure. A part that fails is named and left out: it must not cost the other figures. */
export async function measure(context: TargetContext, settings: Settings): Promise<Outcome> {
  const measurements: Measurements = { small: {}, bulk: {} };
  const origins = await startOrigins(context);
  const { targets, skipped, failures } = await startTargets(context, origins, settings.targets);
  const longer = settings.seconds * 2 + 2;
  const parts: Record<Part, () => Promise<Partial<Measurements>>> = {
    small: async () => ({ small: await runSmall(targets, settings) }),
    bulk: async () => ({ bulk: await runBulk(targets, settings, context.directory) }),
    mixed: async () => ({ mixed: await runMixed(targets, settings) }),
    // These start a relay and agents of their own; the targets stay up meanwhile, since idle they cost nothing.
    uplink: async () => ({ uplink: await measureUplink(context, origins, longer) }),
    "slow-readers": async () => ({ slowReaders: await measureSlowReaders(context, origins, longer) }),
    idle: async () => ({ idle: await measureIdle(context, settings.idleTunnels) }),
    distance: async () => ({ distance: await measureDistance(context, origins, longer) }),
  };
  for (const part of settings.parts) {
    console.error(`== ${part}`);
    try {
      Object.assign(measurements, await parts[part]());
    } catch (error) {
      failures.push(`${part}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return { measurements, skipped, failures };
}
