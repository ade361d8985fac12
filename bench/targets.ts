import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findProgram } from "./find-program.ts";
import { type GgrokPrograms, startAgent, startRelay } from "./ggrok.ts";
import { startNginxOrigin, startNginxProxy } from "./nginx.ts";
import { OPTIONAL_PEERS, startSsh } from "./peers.ts";
import type { RolePids } from "./proc-stats.ts";
import type { Processes } from "./processes.ts";

/** Where to send load, and whose CPU and memory to count. */
export type Endpoint = { readonly url: string; readonly host: string; readonly pids: RolePids };

/** Something that answers requests: an origin, a proxy or a tunnel. */
export type Target = { readonly name: string; readonly small: Endpoint; readonly bulk: Endpoint };

/** Ports of the apps behind the targets: nginx for small answers, node:http for bulk and for both at once. */
export type Origins = {
  readonly small: number;
  readonly bulk: number;
  readonly nodePid: number;
  readonly nginxPid: number;
};

/** Names of the targets that the goals refer to. */
export const TargetName = {
  Node: "direct node:http",
  Nginx: "direct nginx",
  NginxProxy: "nginx proxy",
  HttpProxy: "node http.request proxy",
  UndiciProxy: "node undici proxy",
  Ssh: "ssh -N -R",
  SshNoDelay: "ssh -tt -R",
  NetProxy: "node net proxy",
  Ggrok: "ggrok",
} as const;

/** What {@link startTargets} needs. */
export type TargetContext = {
  readonly processes: Processes;
  readonly directory: string;
  readonly programs: GgrokPrograms;
};

function parsePort(line: string): number {
  return (JSON.parse(line) as { port: number }).port;
}

function scriptPath(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

function endpoint(port: number, pids: RolePids, host: string = `127.0.0.1:${port}`): Endpoint {
  return { url: `http://127.0.0.1:${port}`, host, pids };
}

/** Start the apps. */
export async function startOrigins({ processes, directory }: TargetContext): Promise<Origins> {
  const node = await processes.startUntil(process.execPath, [scriptPath("./origin.ts")], parsePort);
  const nginx = await startNginxOrigin(processes, join(directory, "nginx-origin"));
  return { small: nginx.port, bulk: node.found, nodePid: node.pid, nginxPid: nginx.pid };
}

async function startNodeProxy(
  { processes }: TargetContext,
  origins: Origins,
  kind: "http" | "undici",
  name: string,
): Promise<Target> {
  const start = (port: number) =>
    processes.startUntil(process.execPath, [scriptPath("./node-proxy.ts"), kind, String(port)], parsePort);
  const [small, bulk] = [await start(origins.small), await start(origins.bulk)];
  return {
    name,
    small: endpoint(small.found, { relay: [small.pid] }),
    bulk: endpoint(bulk.found, { relay: [bulk.pid] }),
  };
}

/** A relay with two agents: one in front of each origin. */
export async function startGgrokTarget(
  { processes, directory, programs }: TargetContext,
  origins: Origins,
): Promise<Target> {
  const relay = await startRelay(processes, programs);
  const shared = { dialPort: relay.port, directory };
  const small = await startAgent(processes, programs, { ...shared, name: "app", upstreamPort: origins.small });
  const bulk = await startAgent(processes, programs, { ...shared, name: "bulk", upstreamPort: origins.bulk });
  return {
    name: TargetName.Ggrok,
    small: endpoint(relay.port, { relay: [relay.pid], agent: [small.pid] }, small.host),
    bulk: endpoint(relay.port, { relay: [relay.pid], agent: [bulk.pid] }, bulk.host),
  };
}

/** Start everything that is compared; `only` leaves out the rest. Peers not on PATH are `skipped`. */
export async function startTargets(
  context: TargetContext,
  origins: Origins,
  only?: readonly string[],
): Promise<{ targets: Target[]; skipped: string[]; failures: string[] }> {
  const { processes, directory } = context;
  const makers: Record<string, () => Promise<Target>> = {
    [TargetName.Node]: async () => {
      const node = endpoint(origins.bulk, { relay: [origins.nodePid] });
      return { name: TargetName.Node, small: node, bulk: node };
    },
    [TargetName.Nginx]: async () => ({
      name: TargetName.Nginx,
      small: endpoint(origins.small, { relay: [origins.nginxPid] }),
      bulk: endpoint(origins.bulk, { relay: [origins.nodePid] }),
    }),
    [TargetName.NginxProxy]: async () => {
      const { ports, pid } = await startNginxProxy(processes, join(directory, "nginx-proxy"), origins);
      return {
        name: TargetName.NginxProxy,
        small: endpoint(ports.small, { relay: [pid] }),
        bulk: endpoint(ports.bulk, { relay: [pid] }),
      };
    },
    [TargetName.HttpProxy]: () => startNodeProxy(context, origins, "http", TargetName.HttpProxy),
    [TargetName.UndiciProxy]: () => startNodeProxy(context, origins, "undici", TargetName.UndiciProxy),
    [TargetName.Ssh]: () => startSsh({ ...context, origins }, "nagle"),
    [TargetName.SshNoDelay]: () => startSsh({ ...context, origins }, "nodelay"),
    [TargetName.Ggrok]: () => startGgrokTarget(context, origins),
  };
  const targets: Target[] = [];
  for (const [name, make] of Object.entries(makers)) {
    if (only === undefined || only.includes(name)) targets.push(await make());
  }
  const skipped: string[] = [];
  const failures: string[] = [];
  for (const peer of OPTIONAL_PEERS) {
    if (only !== undefined && !only.includes(peer.name)) continue;
    const program = findProgram(peer.program);
    if (program === undefined) {
      skipped.push(peer.name);
      continue;
    }
    try {
      targets.push(await peer.start({ ...context, origins }, program));
    } catch (error) {
      // A version with other flags than ours is no reason to lose the rest.
      failures.push(`${peer.name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return { targets, skipped, failures };
}
