import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type BulkRun, measureBulk, summariseBulk } from "./bulk.ts";
import { measureCapture } from "./capture.ts";
import { measureDistance } from "./distance.ts";
import type { Measurements } from "./goals.ts";
import { measureIdle } from "./idle.ts";
import { measureMixed } from "./mixed.ts";
import { measureSlowReaders } from "./slow-readers.ts";
import { measureSmall, type SmallRun, summariseSmall } from "./small.ts";
import { startOrigins, startTargets, type Target, type TargetContext, TargetName } from "./targets.ts";
import { measureTcp } from "./tcp.ts";
import { measureUplink } from "./uplink.ts";

/** Parts of a run, in the order they run. */
export const PARTS = [
  "small",
  "bulk",
  "mixed",
  "uplink",
  "slow-readers",
  "capture",
  "idle",
  "distance",
  "tcp",
] as const;
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
  readonly idleConnections: number;
  readonly parts: readonly Part[];
  /** Names of targets; all when absent. */
  readonly targets?: readonly string[];
};

const WARM_UP_CONNECTIONS = 16;
/** Targets whose small requests beside downloads are worth comparing. */
const MIXED_TARGETS: readonly string[] = [TargetName.Ggrok, TargetName.SshNoDelay, TargetName.UndiciProxy];

/** Progress, with the minute and second of the run: a target that hangs shows. */
function tell(text: string): void {
  const seconds = Math.round(performance.now() / 1_000);
  console.error(`${String(Math.floor(seconds / 60)).padStart(2)}:${String(seconds % 60).padStart(2, "0")}  ${text}`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Targets in the order of their turns; one that fails is named and has no further turn. */
class Round {
  readonly #left: Set<Target>;
  readonly #failures: string[];

  constructor(targets: readonly Target[], failures: string[]) {
    this.#left = new Set(targets);
    this.#failures = failures;
  }

  /** Give every target its turn, so that a bad moment of the machine hits all of them. */
  async each(label: string, turn: (target: Target) => Promise<void>): Promise<void> {
    for (const target of this.#left) {
      tell(`${label}  ${target.name}`);
      try {
        await turn(target);
      } catch (error) {
        this.#left.delete(target);
        this.#failures.push(`${label}, ${target.name}: ${messageOf(error)}`);
        tell(messageOf(error));
      }
      await pause(200);
    }
  }
}

type Small = Measurements["small"];

async function runSmall(targets: readonly Target[], settings: Settings, failures: string[]): Promise<Small> {
  const round = new Round(targets, failures);
  const seen = new Map<string, Map<string, SmallRun[]>>();
  const warmUp = (target: Target) => measureSmall(target, WARM_UP_CONNECTIONS, settings.seconds);
  await round.each("warm-up", async (target) => void (await warmUp(target)));
  for (let turn = 1; turn <= settings.runs; turn += 1) {
    for (const connections of settings.connections) {
      await round.each(`${turn}/${settings.runs}  c=${connections}`, async (target) => {
        const { name } = target;
        const run = await measureSmall(target, connections, settings.seconds);
        const byConnections = seen.get(name) ?? new Map<string, SmallRun[]>();
        byConnections.set(String(connections), [...(byConnections.get(String(connections)) ?? []), run]);
        seen.set(name, byConnections);
      });
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
  failures: string[],
  directory: string,
): Promise<Measurements["bulk"]> {
  const uploadFile = join(directory, "upload");
  await writeFile(uploadFile, "");
  // Sparse: the upload costs no disk, and its bytes are the same for every target.
  await truncate(uploadFile, settings.bulkBytes);
  const round = new Round(targets, failures);
  const seen = new Map<string, { down: BulkRun[]; up: BulkRun[] }>();
  for (let turn = 1; turn <= settings.runs; turn += 1) {
    for (const direction of ["down", "up"] as const) {
      await round.each(`${turn}/${settings.runs}  bulk ${direction}`, async (target) => {
        const runs = seen.get(target.name) ?? { down: [], up: [] };
        seen.set(target.name, runs);
        const run = await measureBulk(target, direction, settings.bulkBytes, uploadFile);
        runs[direction].push(run);
        if (!run.complete) throw new Error("the transfer did not complete");
      });
    }
  }
  const summaries = [...seen].filter(([, { down, up }]) => down.length > 0 && up.length > 0);
  return Object.fromEntries(
    summaries.map(([name, runs]) => [name, { down: summariseBulk(runs.down), up: summariseBulk(runs.up) }]),
  );
}

async function runMixed(targets: readonly Target[], settings: Settings): Promise<NonNullable<Measurements["mixed"]>> {
  const figures: NonNullable<Measurements["mixed"]> = {};
  for (const target of targets.filter(({ name }) => MIXED_TARGETS.includes(name))) {
    tell(`small requests beside downloads  ${target.name}`);
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
    small: async () => ({ small: await runSmall(targets, settings, failures) }),
    bulk: async () => ({ bulk: await runBulk(targets, settings, failures, context.directory) }),
    mixed: async () => ({ mixed: await runMixed(targets, settings) }),
    // These start a relay and agents of their own; the targets stay up meanwhile, since idle they cost nothing.
    uplink: async () => ({ uplink: await measureUplink(context, origins, longer) }),
    "slow-readers": async () => ({ slowReaders: await measureSlowReaders(context, origins, longer) }),
    capture: async () => ({ capture: await measureCapture(context, origins, settings) }),
    idle: async () => ({ idle: await measureIdle(context, settings.idleTunnels) }),
    distance: async () => ({ distance: await measureDistance(context, origins, longer) }),
    tcp: async () => ({ tcp: await measureTcp(context, settings, tell) }),
  };
  for (const part of settings.parts) {
    tell(`== ${part}`);
    try {
      Object.assign(measurements, await parts[part]());
    } catch (error) {
      const failure = `${part}: ${messageOf(error)}`;
      tell(failure);
      failures.push(failure);
    }
  }
  return { measurements, skipped, failures };
}
