import { chmod, mkdir, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { findProgram } from "./find-program.ts";
import { type Processes, pickFreePort, runToEnd, waitForPort } from "./processes.ts";
import type { Endpoint, Origins, Target } from "./targets.ts";

/** Other people's tunnels. Each starts in its usual form, with logs off where they would cost. */
export type PeerContext = { readonly processes: Processes; readonly directory: string; readonly origins: Origins };

function tunnelTarget(name: string, ports: { small: number; bulk: number }, pids: Endpoint["pids"]): Target {
  const endpoint = (port: number): Endpoint => ({ url: `http://127.0.0.1:${port}`, host: `127.0.0.1:${port}`, pids });
  return { name, small: endpoint(ports.small), bulk: endpoint(ports.bulk) };
}

/**
 * `ssh -R` with a server of our own. `nagle` is the form people use (`-N`); with a terminal OpenSSH sets TCP_NODELAY,
 * which makes it the hardest peer there is: it moves bytes and knows nothing of HTTP.
 */
export async function startSsh(context: PeerContext, mode: "nagle" | "nodelay"): Promise<Target> {
  const { processes, origins } = context;
  const directory = join(context.directory, `ssh-${mode}`);
  const sshd = findProgram("sshd");
  const ssh = findProgram("ssh");
  if (sshd === undefined || ssh === undefined) throw new Error("ssh and sshd are not installed");
  await mkdir(directory, { recursive: true });
  await chmod(directory, 0o700);
  const [hostKey, userKey] = [join(directory, "host-key"), join(directory, "user-key")];
  for (const key of [hostKey, userKey]) {
    const made = await runToEnd("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key], 10_000);
    if (made.code !== 0) throw new Error(`ssh-keygen: ${made.stderr}`);
  }
  const port = await pickFreePort();
  const config = join(directory, "sshd.conf");
  const lines = [`Port ${port}`, "ListenAddress 127.0.0.1", `HostKey ${hostKey}`, `AuthorizedKeysFile ${userKey}.pub`];
  lines.push("StrictModes no", "PermitRootLogin yes", "PidFile none", "UsePAM no", "LogLevel ERROR", "PrintMotd no");
  await writeFile(config, `${lines.join("\n")}\n`);
  // As root sshd insists on this folder, which the package's service would have made.
  if (userInfo().uid === 0) await mkdir("/run/sshd", { recursive: true, mode: 0o755 });
  const server = processes.start(sshd, ["-D", "-e", "-f", config]);
  await waitForPort(port);
  const ports = { small: await pickFreePort(), bulk: await pickFreePort() };
  const options = ["-F", "/dev/null", "-i", userKey, "-p", String(port), "-o", "IdentitiesOnly=yes"];
  options.push(
    "-o",
    "StrictHostKeyChecking=no",
    "-o",
    "UserKnownHostsFile=/dev/null",
    "-o",
    "ExitOnForwardFailure=yes",
    "-o",
    "LogLevel=ERROR",
  );
  options.push(
    "-R",
    `127.0.0.1:${ports.small}:127.0.0.1:${origins.small}`,
    "-R",
    `127.0.0.1:${ports.bulk}:127.0.0.1:${origins.bulk}`,
  );
  const login = `${userInfo().username}@127.0.0.1`;
  const form = mode === "nagle" ? ["-N", ...options, login] : ["-tt", ...options, login, "sleep 86400"];
  const client = processes.start(ssh, form, { stdin: "pipe" });
  await Promise.all([waitForPort(ports.small), waitForPort(ports.bulk)]);
  return tunnelTarget(mode === "nagle" ? "ssh -N -R" : "ssh -tt -R", ports, {
    relay: [server.pid],
    agent: [client.pid],
  });
}

async function startChisel({ processes, origins }: PeerContext, program: string): Promise<Target> {
  const port = await pickFreePort();
  const ports = { small: await pickFreePort(), bulk: await pickFreePort() };
  const server = processes.start(program, ["server", "--host", "127.0.0.1", "--port", String(port), "--reverse"]);
  await waitForPort(port);
  const remotes = [
    `R:127.0.0.1:${ports.small}:127.0.0.1:${origins.small}`,
    `R:127.0.0.1:${ports.bulk}:127.0.0.1:${origins.bulk}`,
  ];
  const client = processes.start(program, ["client", `http://127.0.0.1:${port}`, ...remotes]);
  await Promise.all([waitForPort(ports.small), waitForPort(ports.bulk)]);
  return tunnelTarget("chisel", ports, { relay: [server.pid], agent: [client.pid] });
}

/** bore's control port is fixed, so a bore server that already runs on this machine is in the way. */
const BORE_CONTROL_PORT = 7835;

async function startBore({ processes, origins }: PeerContext, program: string): Promise<Target> {
  const ports = { small: await pickFreePort(), bulk: await pickFreePort() };
  const server = processes.start(program, ["server", "--min-port", "1024", "--bind-addr", "127.0.0.1"]);
  await waitForPort(BORE_CONTROL_PORT);
  const local = (upstream: number, port: number): number =>
    processes.start(program, ["local", String(upstream), "--to", "127.0.0.1", "--port", String(port)]).pid;
  const agents = { small: local(origins.small, ports.small), bulk: local(origins.bulk, ports.bulk) };
  await Promise.all([waitForPort(ports.small), waitForPort(ports.bulk)]);
  const target = tunnelTarget("bore", ports, { relay: [server.pid], agent: [agents.small] });
  return { ...target, bulk: { ...target.bulk, pids: { relay: [server.pid], agent: [agents.bulk] } } };
}

async function startRathole({ processes, directory, origins }: PeerContext, program: string): Promise<Target> {
  const port = await pickFreePort();
  const ports = { small: await pickFreePort(), bulk: await pickFreePort() };
  const files = { server: join(directory, "rathole-server.toml"), client: join(directory, "rathole-client.toml") };
  const services = ["small", "bulk"] as const;
  const server = [`[server]\nbind_addr = "127.0.0.1:${port}"\ndefault_token = "bench"`];
  const client = [`[client]\nremote_addr = "127.0.0.1:${port}"\ndefault_token = "bench"`];
  for (const name of services) {
    server.push(`[server.services.${name}]\nbind_addr = "127.0.0.1:${ports[name]}"`);
    client.push(`[client.services.${name}]\nlocal_addr = "127.0.0.1:${origins[name]}"`);
  }
  await writeFile(files.server, server.join("\n"));
  await writeFile(files.client, client.join("\n"));
  const relay = processes.start(program, ["--server", files.server], { env: { RUST_LOG: "error" } });
  await waitForPort(port);
  const agent = processes.start(program, ["--client", files.client], { env: { RUST_LOG: "error" } });
  await Promise.all([waitForPort(ports.small), waitForPort(ports.bulk)]);
  return tunnelTarget("rathole", ports, { relay: [relay.pid], agent: [agent.pid] });
}

/** frp with its HTTP proxies, which route by Host as ggrok does. */
async function startFrp({ processes, directory, origins }: PeerContext, frps: string): Promise<Target> {
  const frpc = findProgram("frpc");
  if (frpc === undefined) throw new Error("frpc is not on PATH");
  const [port, http] = [await pickFreePort(), await pickFreePort()];
  const files = { server: join(directory, "frps.toml"), client: join(directory, "frpc.toml") };
  const client = [`serverAddr = "127.0.0.1"\nserverPort = ${port}\nlog.level = "error"`];
  for (const name of ["small", "bulk"] as const) {
    client.push(`[[proxies]]\nname = "${name}"\ntype = "http"\nlocalIP = "127.0.0.1"\nlocalPort = ${origins[name]}`);
    client.push(`customDomains = ["${name}.frp.test"]`);
  }
  await writeFile(
    files.server,
    `bindAddr = "127.0.0.1"\nbindPort = ${port}\nvhostHTTPPort = ${http}\nlog.level = "error"\n`,
  );
  await writeFile(files.client, client.join("\n"));
  const relay = processes.start(frps, ["-c", files.server]);
  await waitForPort(port);
  const agent = processes.start(frpc, ["-c", files.client]);
  const pids = { relay: [relay.pid], agent: [agent.pid] };
  const endpoint = (name: string): Endpoint => ({ url: `http://127.0.0.1:${http}`, host: `${name}.frp.test`, pids });
  return { name: "frp", small: endpoint("small"), bulk: endpoint("bulk") };
}

/** piko takes the endpoint from the first label of Host. */
async function startPiko({ processes, origins }: PeerContext, program: string): Promise<Target> {
  const [proxy, upstream, admin, gossip] = [
    await pickFreePort(),
    await pickFreePort(),
    await pickFreePort(),
    await pickFreePort(),
  ];
  const bind = { proxy, upstream, admin, gossip };
  const flags = Object.entries(bind).flatMap(([name, port]) => [`--${name}.bind-addr`, `127.0.0.1:${port}`]);
  const relay = processes.start(program, ["server", ...flags, "--log.level", "error"]);
  await Promise.all([waitForPort(proxy), waitForPort(upstream)]);
  const agentPid = (name: string, port: number): number =>
    processes.start(program, [
      ...["agent", "http", name, String(port), "--connect.url", `http://127.0.0.1:${upstream}`],
      ...["--access-log.disable", "--log.level", "error", "--server.enabled=false"],
    ]).pid;
  const endpoint = (name: "small" | "bulk"): Endpoint => ({
    url: `http://127.0.0.1:${proxy}`,
    host: `${name}.piko.test`,
    pids: { relay: [relay.pid], agent: [agentPid(name, origins[name])] },
  });
  return { name: "piko", small: endpoint("small"), bulk: endpoint("bulk") };
}

/** Peers that run only where they are installed: program to look for, and how to start it. */
export const OPTIONAL_PEERS: readonly {
  readonly name: string;
  readonly program: string;
  readonly start: (context: PeerContext, program: string) => Promise<Target>;
}[] = [
  { name: "frp", program: "frps", start: startFrp },
  { name: "chisel", program: "chisel", start: startChisel },
  { name: "rathole", program: "rathole", start: startRathole },
  { name: "bore", program: "bore", start: startBore },
  { name: "piko", program: "piko", start: startPiko },
];
