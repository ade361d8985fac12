import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { rssMiB } from "./proc-stats.ts";
import { Processes } from "./processes.ts";
import { median } from "./statistics.ts";
import type { TargetContext } from "./targets.ts";
import { echoOnce, openConnection } from "./tcp-load.ts";
import { startGgrokTcp, startTcpOrigins } from "./tcp-targets.ts";

/** What connections cost that say nothing. */
export type TcpIdleFigures = {
  readonly connections: number;
  readonly relayKibPerConnection: number;
  readonly agentKibPerConnection: number;
  readonly dropped: number;
  /** Median time until a further connection has its first echo. */
  readonly newConnectionMs: number;
};

const CONCURRENT = 32;
const SETTLE_MS = 5_000;
const NEW_CONNECTIONS = 9;
const MESSAGE = Buffer.from("are you there?");

/** Opens so many connections through one agent, each with one echo, then lets them rest. */
export async function measureTcpIdle(context: TargetContext, connections: number): Promise<TcpIdleFigures> {
  await using processes = new Processes();
  const origins = await startTcpOrigins(processes);
  const { small } = await startGgrokTcp({ ...context, processes }, origins);
  const { relay = [], agent = [] } = small.pids;
  // Code compiled and buffers there, so that only connections are counted.
  for (let index = 0; index < 200; index += 1) (await ask(small.port)).destroy();
  await delay(SETTLE_MS / 5);
  const before = { relay: rssMiB(relay), agent: rssMiB(agent) };
  const open: Socket[] = [];
  let [left, dropped] = [connections, 0];
  const worker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const socket = await ask(small.port);
      socket.on("error", () => {});
      socket.once("close", () => {
        dropped += 1;
      });
      socket.resume();
      open.push(socket);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENT }, worker));
  await delay(SETTLE_MS);
  const after = { relay: rssMiB(relay), agent: rssMiB(agent) };
  const times: number[] = [];
  for (let index = 0; index < NEW_CONNECTIONS; index += 1) {
    const startedAt = performance.now();
    const socket = await ask(small.port);
    times.push(performance.now() - startedAt);
    socket.destroy();
  }
  // Those that rested must still answer.
  for (let index = 0; index < open.length; index += 100) {
    const socket = open[index];
    if (socket !== undefined && !socket.destroyed) await echoOnce(socket, MESSAGE);
  }
  const lost = dropped;
  for (const socket of open) socket.destroy();
  return {
    connections,
    relayKibPerConnection: ((after.relay - before.relay) * 1_024) / connections,
    agentKibPerConnection: ((after.agent - before.agent) * 1_024) / connections,
    dropped: lost,
    newConnectionMs: median(times) ?? 0,
  };
}

async function ask(port: number): Promise<Socket> {
  const socket = await openConnection(port);
  await echoOnce(socket, MESSAGE);
  return socket;
}
