import type { BulkFigures } from "./bulk.ts";
import type { CaptureFigures } from "./capture.ts";
import type { DistanceFigures } from "./distance.ts";
import type { IdleFigures } from "./idle.ts";
import type { MixedFigures } from "./mixed.ts";
import type { SlowReaderFigures } from "./slow-readers.ts";
import type { SmallFigures } from "./small.ts";
import { ratio, sum } from "./statistics.ts";
import { TargetName } from "./targets.ts";
import type { TcpBulkFigures, TcpFigures } from "./tcp.ts";

/** All that one run measured. A part that did not run is absent. */
export type Measurements = {
  /** Target, then number of connections. */
  small: Record<string, Record<string, SmallFigures>>;
  bulk: Record<string, { down: BulkFigures; up: BulkFigures }>;
  mixed?: Record<string, MixedFigures>;
  uplink?: MixedFigures;
  slowReaders?: SlowReaderFigures;
  capture?: CaptureFigures;
  idle?: IdleFigures;
  distance?: DistanceFigures;
  tcp?: TcpFigures;
};

/** A figure to reach. `kind` decides whether `bench:check` guards it: CPU and memory hold still on a busy machine. */
export type Goal = {
  readonly text: string;
  readonly kind: "cpu" | "memory" | "speed";
  readonly relation: "<=" | ">=";
  readonly target: number;
  readonly unit?: string;
  readonly measure: (m: Measurements) => number | undefined;
};

const { Ggrok, Node, HttpProxy, UndiciProxy, NginxProxy, Ssh, SshNoDelay } = TargetName;

function small(m: Measurements, target: string, connections: number): SmallFigures | undefined {
  return m.small[target]?.[String(connections)];
}

function relayCpuTo(peer: string): Goal["measure"] {
  return (m) => ratio(small(m, Ggrok, 64)?.cpuMicrosPerRequest.relay, small(m, peer, 64)?.cpuMicrosPerRequest.relay);
}

function rateTo(peer: string, connections: number): Goal["measure"] {
  return (m) => ratio(small(m, Ggrok, connections)?.requestsPerSecond, small(m, peer, connections)?.requestsPerSecond);
}

function bulkTo(
  peer: string,
  direction: "down" | "up",
  pick: (figures: BulkFigures) => number | undefined,
): Goal["measure"] {
  return (m) => {
    const [own, other] = [m.bulk[Ggrok]?.[direction], m.bulk[peer]?.[direction]];
    return own === undefined || other === undefined ? undefined : ratio(pick(own), pick(other));
  };
}

function mixed(m: Measurements): MixedFigures | undefined {
  return m.mixed?.[Ggrok];
}

function errors(m: Measurements): number | undefined {
  const figures = m.small[Ggrok];
  return figures === undefined ? undefined : sum(...Object.values(figures).map((one) => one.errors));
}

function echoTo(peer: string): Goal["measure"] {
  return ({ tcp }) => ratio(tcp?.echo[Ggrok]?.messagesPerSecond, tcp?.echo[peer]?.messagesPerSecond);
}

function tcpBulkTo(peer: string, direction: "down" | "up"): Goal["measure"] {
  return ({ tcp }) =>
    ratio(tcp?.bulk[Ggrok]?.[direction].megabytesPerSecond, tcp?.bulk[peer]?.[direction].megabytesPerSecond);
}

function tcpGrowth(role: keyof TcpBulkFigures["growthMiB"]): Goal["measure"] {
  return ({ tcp }) => {
    const own = tcp?.bulk[Ggrok];
    return own === undefined ? undefined : Math.max(own.down.growthMiB[role] ?? 0, own.up.growthMiB[role] ?? 0);
  };
}

const speedOf = (figures: BulkFigures): number => figures.megabytesPerSecond;
const cpuOf = (figures: BulkFigures): number | undefined => figures.cpuMicrosPerMiBSum;

/** The table of goals. A change of a target is a decision, to be made in a commit of its own. */
export const GOALS: readonly Goal[] = [
  {
    text: "relay CPU per request / direct node:http, c=64",
    kind: "cpu",
    relation: "<=",
    target: 1.5,
    measure: relayCpuTo(Node),
  },
  {
    text: "relay CPU per request / http.request proxy, c=64",
    kind: "cpu",
    relation: "<=",
    target: 0.5,
    measure: relayCpuTo(HttpProxy),
  },
  {
    text: "relay + agent CPU per request / undici proxy, c=64",
    kind: "cpu",
    relation: "<=",
    target: 1.5,
    measure: (m) =>
      ratio(small(m, Ggrok, 64)?.cpuMicrosPerRequestSum, small(m, UndiciProxy, 64)?.cpuMicrosPerRequestSum),
  },
  {
    text: "req/s c=64 / http.request proxy",
    kind: "speed",
    relation: ">=",
    target: 1.1,
    measure: rateTo(HttpProxy, 64),
  },
  { text: "req/s c=64 / undici proxy", kind: "speed", relation: ">=", target: 0.75, measure: rateTo(UndiciProxy, 64) },
  { text: "req/s c=64 / nginx proxy", kind: "speed", relation: ">=", target: 0.4, measure: rateTo(NginxProxy, 64) },
  { text: "req/s c=64 / ssh -N -R", kind: "speed", relation: ">=", target: 3.5, measure: rateTo(Ssh, 64) },
  { text: "req/s c=256 / ssh -N -R", kind: "speed", relation: ">=", target: 1.1, measure: rateTo(Ssh, 256) },
  { text: "req/s c=64 / ssh -tt -R", kind: "speed", relation: ">=", target: 0.55, measure: rateTo(SshNoDelay, 64) },
  ...["frp", "chisel", "rathole", "bore", "piko"].map((peer): Goal => {
    return { text: `req/s c=64 / ${peer}`, kind: "speed", relation: ">=", target: 1, measure: rateTo(peer, 64) };
  }),
  {
    text: "p50 c=1 / http.request proxy",
    kind: "speed",
    relation: "<=",
    target: 1.2,
    measure: (m) => ratio(small(m, Ggrok, 1)?.p50Ms, small(m, HttpProxy, 1)?.p50Ms),
  },
  {
    text: "bulk download / ssh -N -R",
    kind: "speed",
    relation: ">=",
    target: 0.8,
    measure: bulkTo(Ssh, "down", speedOf),
  },
  { text: "bulk upload / ssh -N -R", kind: "speed", relation: ">=", target: 1, measure: bulkTo(Ssh, "up", speedOf) },
  {
    text: "relay + agent CPU per MiB / ssh -N -R, download",
    kind: "cpu",
    relation: "<=",
    target: 1.1,
    measure: bulkTo(Ssh, "down", cpuOf),
  },
  {
    text: "relay + agent CPU per MiB / ssh -N -R, upload",
    kind: "cpu",
    relation: "<=",
    target: 0.9,
    measure: bulkTo(Ssh, "up", cpuOf),
  },
  {
    text: "small requests beside 2 downloads in one tunnel",
    kind: "speed",
    relation: ">=",
    target: 1_500,
    unit: "req/s",
    measure: (m) => mixed(m)?.requestsPerSecond,
  },
  { text: "the same, p99", kind: "speed", relation: "<=", target: 25, unit: "ms", measure: (m) => mixed(m)?.p99Ms },
  {
    text: "small requests beside 4 downloads on a 2 MB/s uplink, p50",
    kind: "speed",
    relation: "<=",
    target: 150,
    unit: "ms",
    measure: (m) => m.uplink?.p50Ms,
  },
  {
    text: "relay + agent CPU per request, recording / not recording, 1,000 req/s",
    kind: "cpu",
    relation: "<=",
    target: 1.1,
    measure: (m) => m.capture?.costRatio,
  },
  {
    text: "relay RSS growth, 16 slow readers",
    kind: "memory",
    relation: "<=",
    target: 80,
    unit: "MiB",
    measure: (m) => m.slowReaders?.relayGrowthMiB,
  },
  {
    text: "agent RSS growth, 16 slow readers",
    kind: "memory",
    relation: "<=",
    target: 80,
    unit: "MiB",
    measure: (m) => m.slowReaders?.agentGrowthMiB,
  },
  {
    text: "relay RSS, c=256",
    kind: "memory",
    relation: "<=",
    target: 160,
    unit: "MiB",
    measure: (m) => small(m, Ggrok, 256)?.peakRssMiB.relay,
  },
  {
    text: "relay RSS per idle tunnel",
    kind: "memory",
    relation: "<=",
    target: 20,
    unit: "KiB",
    measure: (m) => m.idle?.kibPerTunnel,
  },
  {
    text: "relay RSS with 5,000 idle tunnels",
    kind: "memory",
    relation: "<=",
    target: 200,
    unit: "MiB",
    measure: (m) => (m.idle?.tunnels === 5_000 ? m.idle.relayRssMiB : undefined),
  },
  {
    text: "one stream at 100 ms round trip",
    kind: "speed",
    relation: ">=",
    target: 30,
    unit: "MB/s",
    measure: (m) => m.distance?.megabytesPerSecond,
  },
  {
    text: "TCP echo, 64 connections, 16 in flight",
    kind: "speed",
    relation: ">=",
    target: 100_000,
    unit: "messages/s",
    measure: ({ tcp }) => tcp?.echo[Ggrok]?.messagesPerSecond,
  },
  { text: "TCP echo / ssh -N -R", kind: "speed", relation: ">=", target: 1, measure: echoTo(Ssh) },
  { text: "TCP echo / ssh -tt -R", kind: "speed", relation: ">=", target: 1, measure: echoTo(SshNoDelay) },
  { text: "TCP bulk down / ssh -N -R", kind: "speed", relation: ">=", target: 0.8, measure: tcpBulkTo(Ssh, "down") },
  { text: "TCP bulk up / ssh -N -R", kind: "speed", relation: ">=", target: 0.8, measure: tcpBulkTo(Ssh, "up") },
  ...(["relay", "agent"] as const).map((role): Goal => {
    const shared = { kind: "memory", relation: "<=", target: 64, unit: "MiB" } as const;
    return { text: `${role} RSS growth, TCP bulk`, ...shared, measure: tcpGrowth(role) };
  }),
  {
    text: "idle TCP connections dropped",
    kind: "speed",
    relation: "<=",
    target: 0,
    measure: ({ tcp }) => tcp?.idle.dropped,
  },
  {
    text: "a new TCP connection beside the idle ones",
    kind: "speed",
    relation: "<=",
    target: 50,
    unit: "ms",
    measure: ({ tcp }) => tcp?.idle.newConnectionMs,
  },
  { text: "errors at c <= 256", kind: "speed", relation: "<=", target: 0, measure: errors },
];

/** A goal beside what was measured; `isMet` is absent where it was not. */
export type Verdict = { goal: Goal; measured?: number; isMet?: boolean };

/** Compare. `margin` loosens every target, as a share of it. */
export function judge(measurements: Measurements, goals: readonly Goal[] = GOALS, margin: number = 0): Verdict[] {
  return goals.map((goal) => {
    const measured = goal.measure(measurements);
    if (measured === undefined || Number.isNaN(measured)) return { goal };
    const isMet =
      goal.relation === "<=" ? measured <= goal.target * (1 + margin) : measured >= goal.target * (1 - margin);
    return { goal, measured, isMet };
  });
}
