import { request } from "node:http";
import { z } from "zod";
import { chooseWebAddress, DEFAULT_WEB_ADDRESS } from "../../config/inspector-settings.ts";
import { type ListenAddress, parseListenAddress } from "../../config/values.ts";
import { loadContext } from "../context.ts";
import { escapeForTerminal, stringifyForTerminal } from "../escape.ts";
import { ExitCode, parseFlag } from "../exit-codes.ts";
import type { Io } from "../io.ts";

/** Ports above the first that are asked: each further agent on the machine takes the next free one. */
const PORTS_ASKED = 10;
const TIMEOUT_MS = 2_000;
const MAX_ANSWER_BYTES = 1_048_576;

const statusSchema = z.object({
  status: z.string(),
  session: z.string(),
  relay: z.string(),
  version: z.string(),
  latency_ms: z.number().nullable(),
});
const tunnelsSchema = z.object({
  tunnels: z.array(z.object({ name: z.string(), public_url: z.string(), config: z.object({ addr: z.string() }) })),
});

/** What `ggrok status` takes. */
export interface StatusFlags {
  readonly webAddr?: string;
  readonly config?: string;
  readonly json?: boolean;
}

/** `ggrok status`: the agents that run on this machine, from their local APIs. Exit code 0 while all of them are online, else 1. */
export async function runStatus(flags: StatusFlags, io: Io): Promise<number> {
  const { webAddr } = flags;
  const named = webAddr === undefined ? undefined : parseFlag("--web-addr", () => parseListenAddress(webAddr));
  const filed = chooseWebAddress(loadContext(flags, io).layers);
  // This folder's agents have none then; others may.
  const first = named ?? (filed === false ? parseListenAddress(DEFAULT_WEB_ADDRESS) : filed);
  const ports = named === undefined ? Array.from({ length: PORTS_ASKED }, (_, i) => first.port + i) : [first.port];
  const agents = (await Promise.all(ports.map((port) => ask({ host: first.host, port })))).filter(
    (agent) => agent !== undefined,
  );
  if (flags.json === true) io.stdout.write(`${stringifyForTerminal({ agents })}\n`);
  else if (agents.length === 0) io.stdout.write("No agent is running on this machine.\n");
  else for (const agent of agents) io.stdout.write(describe(agent));
  return agents.length > 0 && agents.every((agent) => agent.status === "online") ? ExitCode.Ok : ExitCode.Unexpected;
}

interface AgentStatus {
  readonly status: string;
  readonly relay: string;
  readonly version: string;
  readonly latencyMs: number | null;
  readonly inspector: string;
  readonly tunnels: readonly { name: string; url: string; target: string }[];
}

async function ask(address: ListenAddress): Promise<AgentStatus | undefined> {
  const host = address.host === "0.0.0.0" ? "127.0.0.1" : address.host;
  try {
    const status = statusSchema.parse(await getJson(host, address.port, "/api/status"));
    const { tunnels } = tunnelsSchema.parse(await getJson(host, address.port, "/api/tunnels"));
    return {
      status: status.status,
      relay: status.relay,
      version: status.version,
      latencyMs: status.latency_ms,
      inspector: `http://${host.includes(":") ? `[${host}]` : host}:${address.port}`,
      tunnels: tunnels.map((t) => ({ name: t.name, url: t.public_url, target: t.config.addr })),
    };
  } catch {
    // Nobody there, or something that is no agent of ours.
    return undefined;
  }
}

function describe(agent: AgentStatus): string {
  const lines = [
    ["Session Status", agent.status],
    ["Relay", agent.relay],
    ["Version", agent.version],
    ...(agent.latencyMs === null ? [] : [["Latency", `${Math.max(1, Math.round(agent.latencyMs))}ms`]]),
    ["Web Interface", agent.inspector],
    ...agent.tunnels.map((t) => ["Forwarding", `${t.url} -> ${t.target}`]),
  ];
  return `${lines.map(([label = "", text = ""]) => `${label.padEnd(30)}${escapeForTerminal(text)}`).join("\n")}\n`;
}

function getJson(host: string, port: number, path: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const call = request({ host, port, path, timeout: TIMEOUT_MS, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
        if (text.length > MAX_ANSWER_BYTES) call.destroy(new Error("too long"));
      });
      response.on("error", reject);
      response.on("end", () => {
        try {
          resolve(JSON.parse(text));
        } catch (error) {
          reject(error);
        }
      });
    });
    call.on("timeout", () => call.destroy(new Error("timeout")));
    call.on("error", reject);
    call.end();
  });
}
