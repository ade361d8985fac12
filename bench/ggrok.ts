import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Processes, pickFreePort, type Running, waitForPort } from "./processes.ts";

/** The built programs, and what to add to Node's flags (a profiler, for instance). */
export type GgrokPrograms = {
  readonly relayBin: string;
  readonly agentBin: string;
  readonly nodeFlags: readonly string[];
};

/** The programs as the build left them. */
export const BUILT_PROGRAMS: GgrokPrograms = {
  relayBin: fileURLToPath(new URL("../packages/server/bin/ggrok-relay.js", import.meta.url)),
  agentBin: fileURLToPath(new URL("../packages/client/bin/ggrok.js", import.meta.url)),
  nodeFlags: [],
};

/** As the first line of both programs has it (ADR 8). */
const NODE_FLAGS = ["--max-semi-space-size=4", "--no-incremental-marking", "--initial-old-space-size=32"];
const DOMAIN = "localhost";

/** A relay on loopback. */
export type Relay = Running & { readonly port: number; readonly url: string };

/** An agent with one tunnel; `host` is what a visitor puts into `Host`, `port` where a TCP tunnel is reached. */
export type Agent = Running & { readonly host: string; readonly port: number };

/** Start a relay with its access log off and wait until it listens. */
export async function startRelay(
  processes: Processes,
  programs: GgrokPrograms,
  more: readonly string[] = [],
): Promise<Relay> {
  // With the log at `error` the relay does not tell a port it chose itself, so it is told one.
  const port = await pickFreePort();
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--domain", DOMAIN, "--log-level", "error", ...more];
  const flags = [...NODE_FLAGS, ...programs.nodeFlags];
  // A developer's own settings must not leak into what is measured.
  const options = { env: cleanEnvironment() };
  const running = processes.start(process.execPath, [...flags, programs.relayBin, ...args], options);
  await waitForPort(port);
  return { ...running, port, url: `http://127.0.0.1:${port}` };
}

/**
 * Start an agent and wait for the URL it prints. `dialPort` differs from the relay's where a shaped link lies between. With a
 * `webPort` it records and has its local API there.
 */
export async function startAgent(
  processes: Processes,
  programs: GgrokPrograms,
  o: {
    name: string;
    upstreamPort: number;
    dialPort: number;
    directory: string;
    webPort?: number;
    kind?: "http" | "tcp";
  },
): Promise<Agent> {
  const kind = o.kind ?? "http";
  const home = join(o.directory, `agent-${o.name}-${o.dialPort}`);
  await mkdir(home, { recursive: true });
  const args = [
    ...[kind, String(o.upstreamPort), "--relay", `http://127.0.0.1:${o.dialPort}`, "--url", o.name],
    ...(kind === "tcp" ? ["--web-addr", "false"] : []),
    ...(o.webPort !== undefined ? ["--web-addr", `127.0.0.1:${o.webPort}`] : []),
    ...(kind === "http" && o.webPort === undefined ? ["--inspect", "false"] : []),
    ...["--log-level", "error"],
  ];
  const { found: url, ...running } = await processes.startUntil(
    process.execPath,
    [...NODE_FLAGS, ...programs.nodeFlags, programs.agentBin, ...args],
    // Not `--json`: an event for every request would be an access log, which is off on the relay too.
    (line) => (URL.canParse(line) && (kind === "http" || /:\d+$/.test(line)) ? new URL(line) : undefined),
    // Its own home and folder give every agent its own identity and keep the user's tokens and project file out.
    {
      cwd: home,
      env: {
        ...cleanEnvironment(),
        HOME: home,
        XDG_CONFIG_HOME: join(home, "config"),
        XDG_STATE_HOME: join(home, "state"),
      },
    },
  );
  return { ...running, host: url.hostname, port: Number(url.port) };
}

function cleanEnvironment(): Record<string, string> {
  const names = Object.keys(process.env).filter((name) => name.startsWith("GGROK_") || name === "PORT");
  return Object.fromEntries(names.map((name) => [name, ""]));
}
