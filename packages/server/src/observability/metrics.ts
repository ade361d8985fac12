import type { ErrorCode } from "@ggrok/protocol";
import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import { Histogram } from "./histogram.ts";

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
  /** Connections closed at accept, since their address begins too many. */
  refusedConnections: number;
  /** Body bytes from visitors. */
  bytesIn: number;
  /** Body bytes to visitors. */
  bytesOut: number;
  readonly handshakes: Record<HandshakeOutcome, number>;
  /** Handshakes that were refused, by code. */
  readonly refusedHandshakes: Map<ErrorCode, number>;
  /** Binds that were refused, by code. */
  readonly refusedBinds: Map<ErrorCode, number>;
  /** From the whole request head to the head of the app's answer. */
  readonly firstByte: Histogram;
  /** From the whole request head to the end of the app's answer; connections that changed their protocol are not in it. */
  readonly total: Histogram;
  /** Times the relay became overloaded. */
  overloads: number;
  /** Sessions that lost their connection. */
  sessionsLost: number;
}

/** All counters at zero. */
export function createMetrics(): Metrics {
  return {
    exchanges: { none: 0, "1xx": 0, "2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0 },
    errors: new Map(),
    redispatches: 0,
    refusedConnections: 0,
    bytesIn: 0,
    bytesOut: 0,
    handshakes: { new: 0, resumed: 0, refused: 0 },
    refusedHandshakes: new Map(),
    refusedBinds: new Map(),
    firstByte: new Histogram(),
    total: new Histogram(),
    overloads: 0,
    sessionsLost: 0,
  };
}

const CLASSES: readonly (StatusClass | undefined)[] = [undefined, "1xx", "2xx", "3xx", "4xx", "5xx"];

/** The label of a status; 0 means that there was none. */
function classOfStatus(status: number): StatusClass {
  return CLASSES[Math.floor(status / 100)] ?? "none";
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
  /** Open streams of all sessions: exchanges and connections that an agent has. */
  streams: number;
  tokens: number;
  reservations: number;
  isOverloaded: boolean;
  eventLoopLagMs: number;
  memoryBytes: number;
  memoryLimitBytes: number;
}

/** Counts something by its code. */
export function countCode(counts: Map<ErrorCode, number>, code: ErrorCode): void {
  counts.set(code, (counts.get(code) ?? 0) + 1);
}

/** What a scrape is read from. */
export interface MetricsSource {
  readonly metrics: Metrics;
  readonly version: string;
  levels(): Levels;
}

/** Gives the text of one scrape. */
export class MetricsReader {
  readonly contentType: string = Registry.PROMETHEUS_CONTENT_TYPE;
  readonly #source: MetricsSource;
  #made: { register: Registry; update: readonly (() => void)[] } | undefined;
  #levels: Levels | undefined;

  constructor(source: MetricsSource) {
    this.#source = source;
  }

  async read(): Promise<string> {
    // Made by the first scrape: where nobody looks nothing is measured beside the plain numbers.
    this.#made ??= this.#make();
    this.#levels = this.#source.levels();
    for (const update of this.#made.update) update();
    const { firstByte, total } = this.#source.metrics;
    const histograms = [
      firstByte.expose("ggrok_ingress_first_byte_seconds", "From a whole request head to the head of the app's answer"),
      total.expose("ggrok_ingress_exchange_seconds", "From a whole request head to the end of the app's answer"),
    ];
    return `${await this.#made.register.metrics()}\n${histograms.join("\n")}`;
  }

  #make(): { register: Registry; update: readonly (() => void)[] } {
    const register = new Registry();
    collectDefaultMetrics({ register });
    const { metrics, version } = this.#source;
    const update: (() => void)[] = [];
    const count = (name: string, help: string, read: () => CounterValues, label?: string): void => {
      update.push(counter(register, { name, help, label }, read));
    };
    count(
      "ggrok_ingress_exchanges_total",
      "Finished exchanges by status class",
      () => Object.entries(metrics.exchanges),
      "status",
    );
    count(
      "ggrok_ingress_errors_total",
      "Exchanges the relay answered or broke off, by code",
      () => [...metrics.errors],
      "code",
    );
    count(
      "ggrok_ingress_redispatches_total",
      "Exchanges sent again after their session broke",
      () => metrics.redispatches,
    );
    count(
      "ggrok_ingress_connections_refused_total",
      "Connections closed at accept, since their address begins too many",
      () => metrics.refusedConnections,
    );
    count("ggrok_ingress_received_bytes_total", "Body bytes from visitors", () => metrics.bytesIn);
    count("ggrok_ingress_sent_bytes_total", "Body bytes to visitors", () => metrics.bytesOut);
    count(
      "ggrok_control_handshakes_total",
      "Handshakes by outcome",
      () => Object.entries(metrics.handshakes),
      "outcome",
    );
    count("ggrok_control_refused_total", "Handshakes refused, by code", () => [...metrics.refusedHandshakes], "code");
    count("ggrok_control_sessions_lost_total", "Sessions that lost their connection", () => metrics.sessionsLost);
    count("ggrok_registry_binds_refused_total", "Binds refused, by code", () => [...metrics.refusedBinds], "code");
    count("ggrok_relay_overloads_total", "Times the relay became overloaded", () => metrics.overloads);
    for (const [name, help, read] of GAUGES)
      gauge(register, name, help, () => (this.#levels === undefined ? 0 : read(this.#levels)));
    const info = new Gauge({
      name: "ggrok_relay_info",
      help: "1; the version is the label",
      labelNames: ["version"],
      registers: [register],
    });
    info.set({ version }, 1);
    return { register, update };
  }
}

const GAUGES: readonly (readonly [name: string, help: string, read: (levels: Levels) => number])[] = [
  ["ggrok_ingress_exchanges_open", "Exchanges under way", (levels) => levels.openExchanges],
  ["ggrok_registry_parked_exchanges", "Exchanges waiting for an agent", (levels) => levels.parkedExchanges],
  ["ggrok_registry_parked_bytes", "Memory of the waiting exchanges", (levels) => levels.parkedBytes],
  [
    "ggrok_registry_endpoints",
    "Endpoints bound, those held for an absent agent included",
    (levels) => levels.endpoints,
  ],
  ["ggrok_registry_reservations", "Names reserved for owners", (levels) => levels.reservations],
  ["ggrok_auth_tokens", "Tokens of the store", (levels) => levels.tokens],
  ["ggrok_control_sessions", "Sessions, lost ones included", (levels) => levels.sessions],
  ["ggrok_control_sessions_lost", "Sessions waiting for their agent to come back", (levels) => levels.lostSessions],
  ["ggrok_mux_streams_open", "Streams open on all sessions", (levels) => levels.streams],
  [
    "ggrok_mux_payload_held_bytes",
    "Payload received and not yet taken by its reader",
    (levels) => levels.heldPayloadBytes,
  ],
  ["ggrok_relay_overloaded", "1 while new work is refused", (levels) => (levels.isOverloaded ? 1 : 0)],
  [
    "ggrok_relay_event_loop_lag_seconds",
    "How late the event loop came to its last check",
    (levels) => levels.eventLoopLagMs / 1_000,
  ],
  ["ggrok_relay_memory_bytes", "Resident memory of the process", (levels) => levels.memoryBytes],
  ["ggrok_relay_memory_limit_bytes", "Memory the process may use", (levels) => levels.memoryLimitBytes],
];

type CounterValues = number | readonly (readonly [string, number])[];

/** A counter that takes over a plain number's value: prom-client counters can only be added to. */
function counter(
  register: Registry,
  { name, help, label }: { name: string; help: string; label: string | undefined },
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
  exchange: {
    status: number;
    code?: ErrorCode;
    bytesIn: number;
    bytesOut: number;
    durationMs: number;
    firstByteMs?: number;
  },
): void {
  metrics.exchanges[classOfStatus(exchange.status)] += 1;
  metrics.bytesIn += exchange.bytesIn;
  metrics.bytesOut += exchange.bytesOut;
  if (exchange.firstByteMs !== undefined) {
    metrics.firstByte.observe(exchange.firstByteMs);
    if (exchange.status !== 101) metrics.total.observe(exchange.durationMs);
  }
  if (exchange.code !== undefined) countCode(metrics.errors, exchange.code);
}
