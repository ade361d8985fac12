import { readFile } from "node:fs/promises";
import { createRelay } from "@ggrok/server";
import { beforeAll, describe, expect, it } from "vitest";
import {
  countCode,
  countExchange,
  createMetrics,
  MetricsReader,
} from "../packages/server/src/observability/metrics.ts";
import { readSections } from "./harness/doc-tables.ts";

interface Metric {
  readonly name: string;
  readonly type: string;
  readonly labels: readonly string[];
}

/** The metrics of a scrape in which everything has happened once, so that every label shows. */
async function scrape(): Promise<string> {
  const metrics = createMetrics();
  countExchange(metrics, {
    status: 502,
    code: "ERR_GGROK_SESSION_LOST",
    bytesIn: 1,
    bytesOut: 1,
    durationMs: 1,
    firstByteMs: 1,
  });
  countCode(metrics.refusedHandshakes, "ERR_GGROK_TOKEN_REFUSED");
  countCode(metrics.refusedBinds, "ERR_GGROK_NAME_TAKEN");
  const levels = {
    openExchanges: 0,
    parkedExchanges: 0,
    parkedBytes: 0,
    heldPayloadBytes: 0,
    endpoints: 0,
    sessions: 0,
    lostSessions: 0,
    streams: 0,
    tokens: 0,
    reservations: 0,
    isOverloaded: false,
    eventLoopLagMs: 0,
    memoryBytes: 0,
    memoryLimitBytes: 0,
  };
  return new MetricsReader({ metrics, version: "1", levels: () => levels }).read();
}

function parse(text: string): Metric[] {
  return [...text.matchAll(/^# TYPE (\S+) (\S+)$/gmu)].map(([, name = "", type = ""]) => {
    const suffix = type === "histogram" ? "(?:_bucket|_sum|_count)" : "";
    const labels = new Set<string>();
    for (const [, inside = ""] of text.matchAll(new RegExp(`^${name}${suffix}\\{([^}]*)\\}`, "gmu")))
      for (const [, label = ""] of inside.matchAll(/(\w+)="/gu)) labels.add(label);
    return { name, type, labels: [...labels].sort() };
  });
}

let all: Metric[];
beforeAll(async () => {
  all = parse(await scrape());
});

describe("docs/metrics.md", () => {
  it("has every metric of the relay's own with its type and labels, and no other", async () => {
    const rows = [...(await readSections("metrics.md")).values()].flat().filter((row) => row["metric"] !== undefined);
    const documented = rows.map((row) => ({
      name: row["metric"] ?? "",
      type: row["type"] ?? "",
      labels: (row["labels"] ?? "").split(", ").filter((label) => label !== ""),
    }));
    const own = all.filter(({ name }) => name.startsWith("ggrok_"));
    expect(own.length).toBeGreaterThan(20);
    expect(byName(documented)).toEqual(byName(own));
  });

  it("names metrics by its own rule", () => {
    const own = all.filter(({ name }) => name.startsWith("ggrok_"));
    const wrong = own.filter(
      ({ name, type }) =>
        !/^ggrok_(?:ingress|control|registry|auth|mux|relay)_[a-z_]+$/u.test(name) ||
        (type === "counter") !== name.endsWith("_total"),
    );
    expect(wrong).toEqual([]);
  });

  it("has alarms over metrics that exist", async () => {
    const text = await readFile(new URL("../docs/metrics.md", import.meta.url), "utf8");
    const alarms = text.slice(text.indexOf("## Worth an alarm"));
    expect(unknownNames(alarms)).toEqual([]);
  });
});

describe("what a relay answers", () => {
  it("has all of them from its first scrape on", async () => {
    await using relay = await createRelay({ bind: "127.0.0.1", adminToken: "root" });
    const response = await fetch(`http://127.0.0.1:${String(relay.port)}/$$ggrok/metrics`, {
      headers: { authorization: "Bearer root" },
    });
    expect(response.headers.get("content-type")).toMatch(/^text\/plain; version=0\.0\.4/u);
    const names = parse(await response.text()).map(({ name }) => name);
    expect(names.sort()).toEqual(all.map(({ name }) => name).sort());
  });
});

describe("the dashboard", async () => {
  const dashboard = JSON.parse(
    await readFile(new URL("../deploy/grafana/ggrok-relay.json", import.meta.url), "utf8"),
  ) as {
    panels: { id: number; title: string; targets: { expr: string; legendFormat: string }[] }[];
    templating: { list: { name: string; definition?: string }[] };
  };
  const targets = dashboard.panels.flatMap((panel) => panel.targets);

  it("asks for metrics that exist alone", () => {
    const variables = dashboard.templating.list.flatMap(({ definition }) => definition ?? []);
    expect(targets.length).toBeGreaterThan(20);
    for (const { expr } of targets) expect(expr).toMatch(/(?:ggrok|process|nodejs)_/u);
    expect(unknownNames([...targets.map(({ expr }) => expr), ...variables].join("\n"))).toEqual([]);
  });

  it("groups by labels that the metric has", () => {
    const wrong = targets.filter(({ expr, legendFormat }) => {
      const [, grouped = ""] = / by \(([^)]*)\)/u.exec(expr) ?? [];
      const used = [...grouped.split(",").map((label) => label.trim()), ...labelsOfLegend(legendFormat)];
      const [name = ""] = namesIn(expr);
      const known = [...(metricOf(name)?.labels ?? []), "instance", ""];
      return used.some((label) => !known.includes(label));
    });
    expect(wrong).toEqual([]);
  });

  it("shows every metric of the relay's own", () => {
    const shown = new Set(targets.flatMap(({ expr }) => namesIn(expr)).map((name) => metricOf(name)?.name));
    const own = all.map(({ name }) => name).filter((name) => name.startsWith("ggrok_"));
    expect(own.filter((name) => !shown.has(name))).toEqual([]);
  });

  it("has panels that can be told apart", () => {
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
  });
});

function namesIn(text: string): string[] {
  return [...text.matchAll(/\b(?:ggrok|process|nodejs)_[a-z0-9_]+/gu)].map(([name]) => name);
}

function labelsOfLegend(legend: string): string[] {
  return [...legend.matchAll(/\{\{(\w+)\}\}/gu)].map(([, label = ""]) => label);
}

/** A metric by the name of one of its series. */
function metricOf(name: string): Metric | undefined {
  return all.find((metric) => {
    const series =
      metric.type === "histogram" ? ["_bucket", "_sum", "_count"].map((suffix) => metric.name + suffix) : [metric.name];
    return series.includes(name);
  });
}

function unknownNames(text: string): string[] {
  const names = namesIn(text);
  expect(names.length).toBeGreaterThan(0);
  return names.filter((name) => metricOf(name) === undefined);
}

function byName(metrics: readonly Metric[]): Record<string, Metric> {
  return Object.fromEntries(metrics.map((metric) => [metric.name, metric]));
}
