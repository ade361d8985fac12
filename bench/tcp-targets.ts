import { fileURLToPath } from "node:url";
import { startAgent, startRelay } from "./ggrok.ts";
import { startSsh } from "./peers.ts";
import type { RolePids } from "./proc-stats.ts";
import type { Processes } from "./processes.ts";
import { type Target, type TargetContext, TargetName } from "./targets.ts";

/** A way to the TCP services, by port. */
export type TcpTarget = {
  readonly name: string;
  readonly small: { readonly port: number; readonly pids: RolePids };
  readonly bulk: { readonly port: number; readonly pids: RolePids };
};

/** The services' ports, and whose they are. */
type TcpOrigins = { readonly small: number; readonly bulk: number; readonly pid: number };

/** A range that Linux does not hand out to outgoing connections. */
const PORTS = "20500-20599";

function program(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

/** Starts the services. */
export async function startTcpOrigins(processes: Processes): Promise<TcpOrigins> {
  const parse = (line: string): { small: number; bulk: number } => JSON.parse(line) as { small: number; bulk: number };
  const running = await processes.startUntil(process.execPath, [program("./tcp-origin.ts")], parse);
  return { ...running.found, pid: running.pid };
}

async function startProxy(processes: Processes, origins: TcpOrigins): Promise<TcpTarget> {
  const start = async (origin: number): Promise<TcpTarget["small"]> => {
    const parse = (line: string): number => (JSON.parse(line) as { port: number }).port;
    const running = await processes.startUntil(process.execPath, [program("./tcp-proxy.ts"), String(origin)], parse);
    return { port: running.found, pids: { relay: [running.pid] } };
  };
  return { name: TargetName.NetProxy, small: await start(origins.small), bulk: await start(origins.bulk) };
}

/** A relay with public ports and an agent in front of each service. */
export async function startGgrokTcp(
  { processes, programs, directory }: TargetContext,
  origins: TcpOrigins,
): Promise<TcpTarget> {
  const relay = await startRelay(processes, programs, ["--tcp-ports", PORTS]);
  const start = async (name: string, upstreamPort: number): Promise<TcpTarget["small"]> => {
    const agent = await startAgent(processes, programs, {
      name,
      upstreamPort,
      dialPort: relay.port,
      directory,
      kind: "tcp",
    });
    return { port: agent.port, pids: { relay: [relay.pid], agent: [agent.pid] } };
  };
  return {
    name: TargetName.Ggrok,
    small: await start("tcp-small", origins.small),
    bulk: await start("tcp-bulk", origins.bulk),
  };
}

function byPort({ name, small, bulk }: Target): TcpTarget {
  const convert = ({ url, pids }: Target["small"]): TcpTarget["small"] => ({ port: Number(new URL(url).port), pids });
  return { name, small: convert(small), bulk: convert(bulk) };
}

/** Everything TCP is compared with. */
export async function startTcpTargets(context: TargetContext, origins: TcpOrigins): Promise<TcpTarget[]> {
  const { pid } = origins;
  const peers = { ...context, origins: { ...origins, nodePid: pid, nginxPid: pid } };
  return [
    await startProxy(context.processes, origins),
    byPort(await startSsh(peers, "nagle")),
    byPort(await startSsh(peers, "nodelay")),
    await startGgrokTcp(context, origins),
  ];
}
