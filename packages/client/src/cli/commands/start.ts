import type { Command } from "@commander-js/extra-typings";
import type { ConfigLayer, Layers } from "../../config/settings.ts";
import { configError } from "../../config/values.ts";
import { addRecordOptions, addServeOptions } from "../common-options.ts";
import { type Context, loadContext, requireConfirmed } from "../context.ts";
import { type PlannedEndpoint, planEndpoints } from "../endpoint-plan.ts";
import { parseFlag, UsageError } from "../exit-codes.ts";
import { followConfig } from "../follow-config.ts";
import type { Io } from "../io.ts";
import { parseWebAddress, type ServeFlags } from "../serve-flags.ts";

/** What `ggrok start` takes. */
interface StartFlags extends ServeFlags {
  readonly all?: boolean;
}

/** Adds `ggrok start` to the command line. */
export function addStart(program: Command, io: Io, setCode: (code: number) => void): void {
  const options = program
    .command("start")
    .summary("start tunnels of the configuration file")
    .description(
      "start tunnels of the configuration file, all over one connection\n\nThe file is read again when it changes, and on SIGHUP; only what changed is touched.",
    )
    .argument("[names...]", "names of endpoints")
    .option("--all", "all endpoints of the file");
  addServeOptions(addRecordOptions(options)).action(async (names: string[], flags: StartFlags) =>
    setCode(await runStart(names, flags, io)),
  );
}

/** `ggrok start`: the tunnels of the file until a signal comes. Returns the exit code. */
async function runStart(names: readonly string[], flags: StartFlags, io: Io): Promise<number> {
  if (flags.all === true && names.length > 0) throw new UsageError("--all and names: give one of them");
  if (flags.local === true && flags.relay !== undefined)
    throw new UsageError("--local brings its own relay: --relay has no place beside it");
  const { webAddr } = flags;
  const context = loadContext(flags, io);
  const layer = layerWithEndpoints(context.layers);
  if (layer === undefined)
    throw configError(`there are no endpoints in ${context.configPath}: write them there, or use ggrok http`);
  const planned = planEndpoints(layer, io.env);
  const wanted = flags.all === true ? undefined : pickNames(names, planned);
  await confirmEndpoints(context, layer, io);
  const chosen = planned.filter(({ plan }) => wanted?.has(plan.name) !== false);
  const { serveTunnels } = await import("../serve.ts");
  return await serveTunnels(
    {
      tunnels: chosen.map(({ plan }) => plan),
      webAddress: webAddr === undefined ? undefined : parseFlag("--web-addr", () => parseWebAddress(webAddr)),
      flags,
      follow: (running, onNotice) => followConfig({ running, onNotice, wanted, chosen, layer, context, flags, io }),
    },
    context,
    io,
  );
}

/** The file whose endpoints count: the project's before the user's. */
export function layerWithEndpoints(layers: Layers): ConfigLayer | undefined {
  return [layers.project, layers.user].find((layer) => (layer?.config.endpoints ?? []).length > 0);
}

function pickNames(names: readonly string[], planned: readonly PlannedEndpoint[]): ReadonlySet<string> {
  const known = planned.map(({ plan }) => plan.name);
  if (names.length === 0) throw new UsageError(`say which, or --all: ${known.join(", ")}`);
  const missing = names.filter((name) => !known.includes(name));
  if (missing.length > 0)
    throw configError(`there is no endpoint ${missing.join(", ")}; the file has ${known.join(", ")}`);
  return new Set(names);
}

/** What a project's file exposes of this machine is confirmed before, whatever relay it goes to. */
async function confirmEndpoints(context: Context, layer: ConfigLayer, io: Io): Promise<void> {
  if (layer === context.layers.project) await requireConfirmed(context, io);
}
