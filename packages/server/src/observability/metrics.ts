import type { ErrorCode } from "@ggrok/protocol";
import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";

/** How a handshake ended. */
export type HandshakeOutcome = "new" | "resumed" | "refused";
type StatusClass = "none" | "1xx" | "2xx" | "3xx" | "4xx" | "5xx";

/** Plain numbers, counted where things happen and read when somebody asks. */
export interface Metrics {
  /** Finished exchanges by class of the status the visitor got; `none` when the visitor left before there was one. */
  readonly exchanges: Record<StatusClass, number>;
  /** Exchanges the relay answered itself or broke off, by code. */
  readonly errors: Map<ErrorCode, number>;
  /** Exchanges sent again after their session broke. */
  redispatches: number;
  /** Body bytes from visitors. */
  bytesIn: number;
  /** Body bytes to visitors. */
  bytesOut: number;
  readonly handshakes: Record<HandshakeOutcome, number>;
  /** Sessions that lost their connection. */
  sessionsLost: number;
}

/** All counters at zero. */
export function createMetrics(): Metrics {
  return {
    exchanges: { none: 0, "1xx": 0, "2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0 },
    errors: new Map(),
    redispatches: 0,
    bytesIn: 0,
    bytesOut: 0,
    handshakes: { new: 0, resumed: 0, refused: 0 },
    sessionsLost: 0,
  };
}

/** The label of a status; 0 means that there was none. */
function classOfStatus(status: number): StatusClass {
  return status < 100 || status > 599 ? "none" : (`${String(Math.floor(status / 100))}xx` as StatusClass);
}

/** What is counted elsewhere and only looked at here. */
export interface Levels {
  openExchanges: number;
  parkedExchanges: number;
  parkedBytes: number;
  heldPayloadBytes: number;
  endpoints: number;
  sessions: number;
  lostSessions: number;
}

/** Gives the text of one scrape. */
export function createMetricsReader(
  metrics: Metrics,
  levels: () => Levels,
): { contentType: string; read(): Promise<string> } {
  const register = new Registry();
  collectDefaultMetrics({ register });
  const counters = [
    counter(register, "ggrok_ingress_exchanges_total", "Finished exchanges by status class", "status", () =>
      Object.entries(metrics.exchanges),
    ),
    counter(
      register,
      "ggrok_ingress_errors_total",
      "Exchanges the relay answered or broke off, by code",
      "code",
      () => [...metrics.errors],
    ),
    counter(
      register,
      "ggrok_ingress_redispatches_total",
      "Exchanges sent again after their session broke",
      undefined,
      () => metrics.redispatches,
    ),
    counter(
      register,
      "ggrok_ingress_received_bytes_total",
      "Body bytes from visitors",
      undefined,
      () => metrics.bytesIn,
    ),
    counter(register, "ggrok_ingress_sent_bytes_total", "Body bytes to visitors", undefined, () => metrics.bytesOut),
    counter(register, "ggrok_control_handshakes_total", "Handshakes by outcome", "outcome", () =>
      Object.entries(metrics.handshakes),
    ),
    counter(
      register,
      "ggrok_control_sessions_lost_total",
      "Sessions that lost their connection",
      undefined,
      () => metrics.sessionsLost,
    ),
  ];
  gauge(register, "ggrok_ingress_exchanges_open", "Exchanges under way", () => levels().openExchanges);
  gauge(register, "ggrok_registry_parked_exchanges", "Exchanges waiting for an agent", () => levels().parkedExchanges);
  gauge(register, "ggrok_registry_parked_bytes", "Memory of the waiting exchanges", () => levels().parkedBytes);
  gauge(
    register,
    "ggrok_registry_endpoints",
    "Endpoints bound, those held for an absent agent included",
    () => levels().endpoints,
  );
  gauge(register, "ggrok_control_sessions", "Sessions, lost ones included", () => levels().sessions);
  gauge(
    register,
    "ggrok_control_sessions_lost",
    "Sessions waiting for their agent to come back",
    () => levels().lostSessions,
  );
  gauge(
    register,
    "ggrok_mux_payload_held_bytes",
    "Payload received and not yet taken by its reader",
    () => levels().heldPayloadBytes,
  );
  return {
    contentType: register.contentType,
    read: () => {
      for (const update of counters) update();
      return register.metrics();
    },
  };
}

type CounterValues = number | readonly (readonly [string, number])[];

/** A counter that takes over a plain number's value: prom-client counters can only be added to. */
function counter(
  register: Registry,
  name: string,
  help: string,
  label: string | undefined,
  read: () => CounterValues,
): () => void {
  const metric = new Counter({ name, help, labelNames: label === undefined ? [] : [label], registers: [register] });
  return () => {
    metric.reset();
    const values = read();
    if (typeof values === "number") metric.inc(values);
    else for (const [key, value] of values) metric.inc({ [label ?? ""]: key }, value);
  };
}

function gauge(register: Registry, name: string, help: string, read: () => number): void {
  const metric: Gauge = new Gauge({ name, help, registers: [register], collect: () => metric.set(read()) });
}

/** Counts one finished exchange. */
export function countExchange(
  metrics: Metrics,
  exchange: { status: number; code?: ErrorCode; bytesIn: number; bytesOut: number },
): void {
  metrics.exchanges[classOfStatus(exchange.status)] += 1;
  metrics.bytesIn += exchange.bytesIn;
  metrics.bytesOut += exchange.bytesOut;
  if (exchange.code !== undefined) metrics.errors.set(exchange.code, (metrics.errors.get(exchange.code) ?? 0) + 1);
}
