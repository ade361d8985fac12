import { cpus, release, totalmem } from "node:os";
import type { BulkFigures } from "./bulk.ts";
import type { Measurements, Verdict } from "./goals.ts";
import type { SmallFigures } from "./small.ts";

/** The machine's line: figures without it mean nothing. */
export type Machine = { cores: number; cpu: string; memoryGiB: number; kernel: string; node: string };

/** Describe this machine. */
export function describeMachine(): Machine {
  const processors = cpus();
  return {
    cores: processors.length,
    cpu: processors[0]?.model.trim() ?? "unknown",
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.versions.node,
  };
}

function format(value: number | undefined, digits: number = 1): string {
  return value === undefined || Number.isNaN(value) ? "-" : value.toFixed(digits);
}

/** Rows as a Markdown table; the first column is text, the others are numbers. */
function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const rule = header.map((_, column) => (column === 0 ? "---" : "--:"));
  return [header, rule, ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

function cpuCell(cpu: Partial<Record<string, number>>, total: number | undefined, digits: number): string {
  const { relay, agent } = cpu as { relay?: number; agent?: number };
  return agent === undefined
    ? format(relay, digits)
    : `${format(relay, digits)} + ${format(agent, digits)} = ${format(total, digits)}`;
}

function smallRows(small: Measurements["small"]): string[][] {
  return Object.entries(small).flatMap(([target, byConnections]) =>
    Object.entries(byConnections).map(([connections, f]: [string, SmallFigures]) => [
      target,
      connections,
      `${f.requestsPerSecond.toFixed(0)} (${(f.spread * 100).toFixed(0)} %)`,
      `${format(f.p50Ms, 2)} / ${format(f.p99Ms, 1)}`,
      cpuCell(f.cpuMicrosPerRequest, f.cpuMicrosPerRequestSum, 1),
      Object.values(f.peakRssMiB)
        .map((mib) => mib.toFixed(0))
        .join(", "),
      String(f.errors),
    ]),
  );
}

function bulkRows(bulk: Measurements["bulk"]): string[][] {
  return Object.entries(bulk).flatMap(([target, directions]) =>
    Object.entries(directions).map(([direction, f]: [string, BulkFigures]) => [
      `${target}, ${direction}`,
      `${f.megabytesPerSecond.toFixed(0)} (${(f.spread * 100).toFixed(0)} %)`,
      cpuCell(f.cpuMicrosPerMiB, f.cpuMicrosPerMiBSum, 0),
      Object.values(f.peakRssMiB)
        .map((mib) => mib.toFixed(0))
        .join(", "),
      String(f.incomplete),
    ]),
  );
}

/** Everything measured, as Markdown. */
export function formatMeasurements(m: Measurements): string {
  const parts: string[] = [];
  const smallHeader = [
    "target",
    "c",
    "req/s (spread)",
    "p50 / p99 ms",
    "CPU us/request, relay + agent",
    "peak RSS MiB",
    "errors",
  ];
  if (Object.keys(m.small).length > 0) parts.push(table(smallHeader, smallRows(m.small)));
  const bulkHeader = ["bulk", "MB/s (spread)", "CPU us/MiB, relay + agent", "peak RSS MiB", "incomplete"];
  if (Object.keys(m.bulk).length > 0) parts.push(table(bulkHeader, bulkRows(m.bulk)));
  for (const [target, f] of Object.entries(m.mixed ?? {})) {
    const small = `${f.requestsPerSecond.toFixed(0)} req/s, p50 ${format(f.p50Ms)} ms, p99 ${format(f.p99Ms)} ms`;
    parts.push(
      `beside 2 downloads, ${target}: ${small}, downloads ${f.bulkMegabytesPerSecond.toFixed(0)} MB/s, errors ${f.errors}`,
    );
  }
  for (const part of ["uplink", "slowReaders", "capture", "idle", "distance"] as const) {
    const figures = m[part];
    if (figures === undefined) continue;
    const values = Object.entries(figures).map(([name, value]) => `${name} ${format(value, 2)}`);
    parts.push(`${part}: ${values.join(", ")}`);
  }
  if (m.tcp !== undefined) parts.push(...formatTcp(m.tcp));
  return parts.join("\n\n");
}

function formatTcp({ echo, bulk, idle }: NonNullable<Measurements["tcp"]>): string[] {
  const echoRows = Object.entries(echo).map(([name, f]) => {
    const rate = `${f.messagesPerSecond.toFixed(0)} (${format(f.spread * 100, 0)} %)`;
    return [name, rate, format(f.cpuMicrosPerMessage, 2)];
  });
  const bulkRows = Object.entries(bulk).flatMap(([name, directions]) =>
    Object.entries(directions).map(([direction, f]) => {
      const growth = `${format(f.growthMiB.relay)} + ${format(f.growthMiB.agent)}`;
      const speed = `${f.megabytesPerSecond.toFixed(0)} (${format(f.spread * 100, 0)} %)`;
      return [`${name}, ${direction}`, speed, format(f.cpuMicrosPerMiB, 0), growth];
    }),
  );
  const idleValues = Object.entries(idle).map(([name, value]) => `${name} ${format(value, 2)}`);
  return [
    table(["TCP echo", "messages/s (spread)", "CPU us/message"], echoRows),
    table(["TCP bulk", "MB/s (spread)", "CPU us/MiB", "RSS growth MiB, relay + agent"], bulkRows),
    `idle TCP connections: ${idleValues.join(", ")}`,
  ];
}

/** The goals with target, measured value and verdict, as Markdown. */
export function formatVerdicts(verdicts: readonly Verdict[]): string {
  const rows = verdicts.map(({ goal, measured, isMet }) => {
    const unit = goal.unit === undefined ? "" : ` ${goal.unit}`;
    const digits = goal.unit === undefined ? 2 : 1;
    const verdict = isMet === undefined ? "not measured" : isMet ? "met" : "NOT MET";
    return [
      goal.text,
      `${goal.relation} ${goal.target}${unit}`,
      measured === undefined ? "" : `${format(measured, digits)}${unit}`,
      verdict,
    ];
  });
  return table(["goal", "target", "measured", ""], rows);
}
