import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { BUILT_PROGRAMS } from "./ggrok.ts";
import { judge } from "./goals.ts";
import { measure, PARTS, type Part, type Settings } from "./measure.ts";
import { assertPrerequisites } from "./prerequisites.ts";
import { describeMachine, formatMeasurements, formatVerdicts } from "./report.ts";
import { withWorkspace } from "./workspace.ts";

const { values } = parseArgs({
  options: {
    /** One short round: to see that all works, not to compare. */
    short: { type: "boolean", default: false },
    runs: { type: "string" },
    seconds: { type: "string" },
    connections: { type: "string" },
    /** Comma-separated parts, see `PARTS`. */
    parts: { type: "string" },
    /** Comma-separated names of targets. */
    targets: { type: "string" },
    "idle-tunnels": { type: "string" },
    "idle-connections": { type: "string" },
    "bulk-bytes": { type: "string" },
    /** Where the result goes as JSON. */
    out: { type: "string" },
    /** Another build to measure, for before and after. */
    "relay-bin": { type: "string", default: BUILT_PROGRAMS.relayBin },
    "agent-bin": { type: "string", default: BUILT_PROGRAMS.agentBin },
    /** Comma-separated flags of Node for relay and agent, behind their own. */
    "node-flags": { type: "string" },
  },
});

function isPart(name: string): name is Part {
  return PARTS.some((part) => part === name);
}

const list = (text: string): string[] => text.split(",").map((item) => item.trim());
const unknownParts = list(values.parts ?? "").filter((name) => name !== "" && !isPart(name));
if (unknownParts.length > 0) throw new Error(`unknown parts: ${unknownParts.join(", ")}; known: ${PARTS.join(", ")}`);

const settings: Settings = {
  runs: Number(values.runs ?? (values.short ? 1 : 3)),
  seconds: Number(values.seconds ?? (values.short ? 1 : 3)),
  connections: list(values.connections ?? "1,16,64,256").map(Number),
  bulkBytes: Number(values["bulk-bytes"] ?? (values.short ? 268_435_456 : 1_073_741_824)),
  idleTunnels: Number(values["idle-tunnels"] ?? (values.short ? 500 : 5_000)),
  idleConnections: Number(values["idle-connections"] ?? (values.short ? 1_000 : 10_000)),
  parts: values.parts === undefined ? PARTS : list(values.parts).filter(isPart),
  ...(values.targets !== undefined && { targets: list(values.targets) }),
};

assertPrerequisites();
const programs = {
  relayBin: values["relay-bin"],
  agentBin: values["agent-bin"],
  nodeFlags: list(values["node-flags"] ?? "").filter((flag) => flag !== ""),
};
const startedAt = new Date();
const { measurements, skipped, failures } = await withWorkspace(programs, (context) => measure(context, settings));
const machine = describeMachine();
const verdicts = judge(measurements);
console.log(
  `${machine.cores} cores, ${machine.cpu}, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, Node ${machine.node}\n`,
);
console.log(`${formatMeasurements(measurements)}\n`);
console.log(formatVerdicts(verdicts));
if (skipped.length > 0) console.log(`\nnot on PATH, so not measured: ${skipped.join(", ")}`);
if (failures.length > 0) {
  console.log(`\nfailed:\n${failures.join("\n")}`);
  process.exitCode = 1;
}
if (values.out !== undefined) {
  const goals = verdicts.map(({ goal, measured, isMet }) => {
    const { text, kind, relation, target, unit } = goal;
    return { text, kind, relation, target, unit, measured: measured ?? null, met: isMet ?? null };
  });
  const result = {
    date: startedAt.toISOString(),
    machine,
    settings,
    goals,
    notMeasured: skipped,
    failures,
    measurements,
  };
  await writeFile(
    values.out,
    `${JSON.stringify(result, (_key, value) => (typeof value === "number" ? Number(value.toPrecision(6)) : value), 2)}\n`,
  );
}
