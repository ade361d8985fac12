import { describe, expect, it } from "vitest";
import { Histogram } from "./histogram.ts";
import { countCode, countExchange, createMetrics, type Levels, MetricsReader } from "./metrics.ts";

const LEVELS: Levels = {
  openExchanges: 3,
  parkedExchanges: 0,
  parkedBytes: 0,
  heldPayloadBytes: 0,
  endpoints: 2,
  sessions: 1,
  lostSessions: 0,
  streams: 4,
  tokens: 5,
  reservations: 6,
  isOverloaded: true,
  eventLoopLagMs: 12,
  memoryBytes: 100,
  memoryLimitBytes: 1_000,
};
const EXCHANGE = { status: 200, durationMs: 30, bytesIn: 0, bytesOut: 5 };

describe("a histogram", () => {
  it("counts up to and including each bound", () => {
    const histogram = new Histogram();
    for (const ms of [0, 1, 1.001, 60_000, 60_001]) histogram.observe(ms);
    const text = histogram.expose("x_seconds", "help");
    expect(text).toContain("# HELP x_seconds help\n# TYPE x_seconds histogram\n");
    for (const line of ['{le="0.001"} 2', '{le="0.0025"} 3', '{le="60"} 4', '{le="+Inf"} 5'])
      expect(text).toContain(`x_seconds_bucket${line}\n`);
    expect(text).toContain("x_seconds_count 5\n");
    expect(Number(/x_seconds_sum (\S+)/u.exec(text)?.[1])).toBeCloseTo(120.003);
  });
});

describe("a scrape", () => {
  it("shows the plain numbers of the moment, time after time", async () => {
    const metrics = createMetrics();
    const reader = new MetricsReader({ metrics, version: "1.2.3", levels: () => LEVELS });
    countExchange(metrics, { ...EXCHANGE, status: 502, code: "ERR_GGROK_SESSION_LOST", bytesIn: 7 });
    countExchange(metrics, { ...EXCHANGE, status: 0 });
    countExchange(metrics, { ...EXCHANGE, firstByteMs: 4 });
    countExchange(metrics, { ...EXCHANGE, status: 101, firstByteMs: 4, durationMs: 3_600_000 });
    countCode(metrics.refusedHandshakes, "ERR_GGROK_TOKEN_REFUSED");
    await reader.read();
    const text = await reader.read();
    for (const line of [
      'ggrok_ingress_exchanges_total{status="5xx"} 1',
      'ggrok_ingress_exchanges_total{status="1xx"} 1',
      'ggrok_ingress_exchanges_total{status="none"} 1',
      'ggrok_ingress_errors_total{code="ERR_GGROK_SESSION_LOST"} 1',
      'ggrok_control_refused_total{code="ERR_GGROK_TOKEN_REFUSED"} 1',
      "ggrok_ingress_received_bytes_total 7",
      "ggrok_ingress_sent_bytes_total 20",
      "ggrok_ingress_exchanges_open 3",
      "ggrok_registry_endpoints 2",
      "ggrok_mux_streams_open 4",
      "ggrok_relay_overloaded 1",
      "ggrok_relay_event_loop_lag_seconds 0.012",
      'ggrok_relay_info{version="1.2.3"} 1',
      'ggrok_ingress_first_byte_seconds_bucket{le="0.005"} 2',
      "ggrok_ingress_first_byte_seconds_count 2",
      "ggrok_ingress_exchange_seconds_count 1",
    ]) {
      expect(text).toContain(`${line}\n`);
    }
    expect(text.endsWith("\n")).toBe(true);
  });

  it("has no metric twice and ends each line", async () => {
    const reader = new MetricsReader({ metrics: createMetrics(), version: "1", levels: () => LEVELS });
    const names = [...(await reader.read()).matchAll(/^# TYPE (\S+) /gmu)].map(([, name]) => name);
    expect(new Set(names).size).toBe(names.length);
  });
});
