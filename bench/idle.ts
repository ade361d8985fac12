import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { startRelay } from "./ggrok.ts";
import { cpuMicros, rssMiB } from "./proc-stats.ts";
import { Processes } from "./processes.ts";
import type { TargetContext } from "./targets.ts";

/** What idle tunnels cost the relay. `tunnels` is what this machine's limit on open files allowed. */
export type IdleFigures = {
  tunnels: number;
  kibPerTunnel: number;
  relayRssMiB: number;
  cpuMicrosPerHandshake: number;
  idleCpuPercent: number;
};

/** The garbage of the handshakes is gone, and the first PINGs have been answered. */
const SETTLE_MS = 6_000;
/** The relay admits 100 handshakes a second. */
const CONNECT_TIMEOUT_MS = 180_000;

/** Hold idle tunnels on a relay of their own and read its resident set. */
export async function measureIdle(context: TargetContext, wanted: number): Promise<IdleFigures> {
  await using processes = new Processes();
  const relay = await startRelay(processes, context.programs);
  await delay(1_000);
  const before = { rss: rssMiB([relay.pid]), cpu: cpuMicros([relay.pid]) };
  const holder = await processes.startUntil(
    process.execPath,
    [fileURLToPath(new URL("./idle-holder.ts", import.meta.url)), String(relay.port), String(wanted)],
    (line) => (JSON.parse(line) as { tunnels: number }).tunnels,
    {},
    CONNECT_TIMEOUT_MS,
  );
  const connectedCpu = cpuMicros([relay.pid]);
  await delay(SETTLE_MS);
  const after = { rss: rssMiB([relay.pid]), cpu: cpuMicros([relay.pid]) };
  const tunnels = holder.found;
  return {
    tunnels,
    kibPerTunnel: ((after.rss - before.rss) * 1_024) / tunnels,
    relayRssMiB: after.rss,
    cpuMicrosPerHandshake: (connectedCpu - before.cpu) / tunnels,
    idleCpuPercent: ((after.cpu - connectedCpu) / (SETTLE_MS * 1_000)) * 100,
  };
}
