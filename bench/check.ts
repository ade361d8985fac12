import { BUILT_PROGRAMS } from "./ggrok.ts";
import { GOALS, judge } from "./goals.ts";
import { measure, type Settings } from "./measure.ts";
import { assertPrerequisites } from "./prerequisites.ts";
import { formatVerdicts } from "./report.ts";
import { TargetName } from "./targets.ts";
import { withWorkspace } from "./workspace.ts";

/** Differences of 10 % mean nothing on a shared machine; a quarter is a change somebody made. */
const MARGIN = 0.25;

/** Only what the guarded goals need. Requests per second are left to `npm run bench`: they are too noisy to fail a build. */
const SETTINGS: Settings = {
  runs: 3,
  seconds: 2,
  connections: [64, 256],
  bulkBytes: 536_870_912,
  idleTunnels: 5_000,
  idleConnections: 0,
  parts: ["small", "bulk", "slow-readers", "capture", "idle", "tcp"],
  targets: [TargetName.Node, TargetName.HttpProxy, TargetName.UndiciProxy, TargetName.Ssh, TargetName.Ggrok],
};

assertPrerequisites();
const { measurements, failures } = await withWorkspace(BUILT_PROGRAMS, (context) => measure(context, SETTINGS));
const verdicts = judge(
  measurements,
  GOALS.filter(({ kind }) => kind !== "speed"),
  MARGIN,
);
console.log(formatVerdicts(verdicts));
for (const failure of failures) console.log(`failed: ${failure}`);
// A guarded figure that could not be taken is a failure too, or a broken bench would pass for ever.
const failed = verdicts.filter(({ isMet }) => isMet !== true);
console.log(
  failed.length === 0
    ? `\nall within ${MARGIN * 100} % of their targets`
    : `\n${failed.length} over target + ${MARGIN * 100} %`,
);
process.exitCode = failed.length === 0 ? 0 : 1;
