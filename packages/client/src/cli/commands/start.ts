import { type Command, Option } from "@commander-js/extra-typings";
import type { ConfigLayer, Layers } from "../../config/settings.ts";
import { configError } from "../../config/values.ts";
import { type Context, loadContext, requireConfirmed } from "../context.ts";
import { type PlannedEndpoint, planEndpoints } from "../endpoint-plan.ts";
import { parseFlag, UsageError } from "../exit-codes.ts";
import { followConfig } from "../follow-config.ts";
import type { Io } from "../io.ts";
import { LOG_FORMATS, LOG_LEVELS } from "../log.ts";
import { parseWebAddress, type ServeFlags } from "../serve-flags.ts";
import { booleanFlag, nameList } from "./http.ts";

/** What `ggrok start` takes. */
interface StartFlags extends ServeFlags {
  readonly all?: boolean;
}

/** Adds `ggrok start` to the command line. */
export function addStart(program: Command, io: Io, setCode: (code: number) => void): void {
  program
    .command("start")
    .summary("start tunnels of the configuration file")
    .description(
      "start tunnels of the configuration file, all over one connection\n\nThe file is read again when it changes, and on SIGHUP; only what changed is touched.",
    )
    .argument("[names...]", "names of endpoints")
    .option("--all", "all endpoints of the file")
    .option("--no-retry", "end when the relay cannot be reached")
    .option(
      "--web-addr <address>",
      'where the local API listens; false for none (default: "127.0.0.1:4040", next free port)',
    )
    .addOption(new Option("--inspect <boolean>", "record exchanges for the local API").argParser(booleanFlag))
    .addOption(
      new Option("--redact <names>", "header and JSON field names whose values are not recorded").argParser(nameList),
    )
    .option("--json", "print events as JSON, one a line")
    .option("--log <place>", "stdout, stderr, a file, or false")
    .addOption(new Option("--log-format <format>", "format of the log").choices(LOG_FORMATS))
    .addOption(new Option("--log-level <level>", "how much to log").choices(LOG_LEVELS))
    .option("--local", "start a relay on this machine, with addresses at *.localhost")
    .option("--relay <relay>", "the relay: host, host:port or https://host (environment: GGROK_RELAY)")
    .option("--authtoken <token>", "token for the relay, also as env:NAME or file:PATH (environment: GGROK_AUTHTOKEN)")
    .option("--insecure", "allow http:// to a relay beyond this machine")
    .option("--proxy <url>", "HTTP or SOCKS proxy on the way to the relay (default: HTTPS_PROXY, ALL_PROXY, NO_PROXY)")
    .option("--ca <file>", "further certificate authorities for the relay, PEM")
    .option("--config <file>", "read this configuration file only (environment: GGROK_CONFIG)")
    .action(async (names: string[], flags: StartFlags) => setCode(await runStart(names, flags, io)));
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
