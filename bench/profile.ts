import { mkdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { curlDownload } from "./bulk.ts";
import { BUILT_PROGRAMS, startAgent, startRelay } from "./ggrok.ts";
import { assertPrerequisites } from "./prerequisites.ts";
import { Processes, runToEnd } from "./processes.ts";
import { runWrk } from "./small.ts";
import { startOrigins } from "./targets.ts";
import { loadEcho } from "./tcp-load.ts";
import { startTcpOrigins } from "./tcp-targets.ts";
import { withWorkspace } from "./workspace.ts";

/** Where the time of relay and agent goes: `node bench/profile.ts [--load small|bulk|tcp] [--seconds 4] [--out DIR]`. */
const { values } = parseArgs({
  options: {
    load: { type: "string", default: "small" },
    seconds: { type: "string", default: "4" },
    top: { type: "string", default: "25" },
    out: { type: "string" },
    "relay-bin": { type: "string", default: BUILT_PROGRAMS.relayBin },
    "agent-bin": { type: "string", default: BUILT_PROGRAMS.agentBin },
  },
});

type CallFrame = { functionName: string; url: string; lineNumber: number };
type CpuProfile = { nodes: { id: number; callFrame: CallFrame }[]; samples: number[]; timeDeltas: number[] };

function nameOf({ functionName, url, lineNumber }: CallFrame): string {
  const place = url.includes("node_modules/")
    ? (url.split("node_modules/").at(-1) ?? url)
    : url.replace(/^file:.*\/packages\//, "");
  return `${functionName === "" ? "(anonymous)" : functionName} ${place === "" ? "" : `${place}:${lineNumber + 1}`}`.trim();
}

/** Self time by function, as shares of the time that was not idle. */
function summarise(profile: CpuProfile, top: number): string {
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]));
  const self = new Map<string, number>();
  let busy = 0;
  for (const [i, id] of profile.samples.entries()) {
    const frame = frames.get(id);
    const micros = profile.timeDeltas[i] ?? 0;
    if (frame === undefined || frame.functionName === "(idle)") continue;
    busy += micros;
    self.set(nameOf(frame), (self.get(nameOf(frame)) ?? 0) + micros);
  }
  const rows = [...self].sort(([, a], [, b]) => b - a).slice(0, top);
  return rows.map(([name, micros]) => `${((micros / busy) * 100).toFixed(1).padStart(5)} %  ${name}`).join("\n");
}

assertPrerequisites();
const programs = { relayBin: values["relay-bin"], agentBin: values["agent-bin"], nodeFlags: [] };
await withWorkspace(programs, async (context) => {
  const out = resolve(values.out ?? context.directory);
  await mkdir(out, { recursive: true });
  const withProfile = (name: string) => ({
    ...programs,
    nodeFlags: ["--cpu-prof", `--cpu-prof-dir=${out}`, `--cpu-prof-name=${name}.cpuprofile`],
  });
  const origins = await startOrigins(context);
  const processes = new Processes();
  const isTcp = values.load === "tcp";
  const relay = await startRelay(processes, withProfile("relay"), isTcp ? ["--tcp-ports", "20600-20610"] : []);
  const agent = await startAgent(processes, withProfile("agent"), {
    name: "app",
    upstreamPort: isTcp
      ? (await startTcpOrigins(context.processes)).small
      : values.load === "bulk"
        ? origins.bulk
        : origins.small,
    kind: isTcp ? "tcp" : "http",
    dialPort: relay.port,
    directory: context.directory,
  });
  const seconds = Number(values.seconds);
  const endpoint = { url: relay.url, host: agent.host };
  if (isTcp) {
    const perSecond = await loadEcho(agent.port, { connections: 64, messageBytes: 64, inFlight: 16, seconds });
    console.log(`${perSecond.toFixed(0)} messages/s\n`);
  } else if (values.load === "bulk") {
    await runToEnd(
      "curl",
      curlDownload({ ...endpoint, bytes: 68_719_476_736, maxSeconds: seconds }),
      (seconds + 10) * 1_000,
    );
  } else {
    const { requests } = await runWrk({ url: `${relay.url}/1k`, host: agent.host, connections: 64, seconds });
    console.log(`${requests} requests\n`);
  }
  // The agent first: a relay that drains waits for its sessions, and a killed process writes no profile.
  await processes.end(agent);
  await processes.end(relay);
  for (const name of ["relay", "agent"]) {
    const profile = JSON.parse(await readFile(join(out, `${name}.cpuprofile`), "utf8")) as CpuProfile;
    console.log(`${name}\n${summarise(profile, Number(values.top))}\n`);
  }
});
