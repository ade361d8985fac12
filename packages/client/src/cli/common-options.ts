import { type Command, InvalidArgumentError, Option, type OptionValues } from "@commander-js/extra-typings";
import { parseBoolean } from "../config/values.ts";
import { LOG_FORMATS, LOG_LEVELS } from "./log.ts";
import type { ServeFlags } from "./serve-flags.ts";

/** The options that say which relay, and how to get there: of every command that talks to one. */
export function addRelayOptions<Args extends unknown[], Flags extends OptionValues>(
  command: Command<Args, Flags>,
): Command<Args, Flags & RelayOptions> {
  const added: unknown = command
    .option("--relay <relay>", "the relay: host, host:port or https://host (environment: GGROK_RELAY)")
    .option("--authtoken <token>", "token for the relay, also as env:NAME or file:PATH (environment: GGROK_AUTHTOKEN)")
    .option("--insecure", "allow http:// to a relay beyond this machine")
    .option("--proxy <url>", "HTTP or SOCKS proxy on the way to the relay (default: HTTPS_PROXY, ALL_PROXY, NO_PROXY)")
    .option("--ca <file>", "further certificate authorities for the relay, PEM")
    .option("--config <file>", "read this configuration file only (environment: GGROK_CONFIG)");
  return added as Command<Args, Flags & RelayOptions>;
}

/** The options of every command that keeps tunnels, those of {@link addRelayOptions} last. */
export function addServeOptions<Args extends unknown[], Flags extends OptionValues>(
  command: Command<Args, Flags>,
): Command<Args, Flags & ServeFlags> {
  const served = command
    .option("--local", "start a relay on this machine, with addresses at *.localhost")
    .option("--no-retry", "end when the relay cannot be reached")
    .option(
      "--web-addr <address>",
      'where the local API listens; false for none (default: "127.0.0.1:4040", next free port)',
    )
    .option("--json", "print events as JSON, one a line")
    .option("--log <place>", "stdout, stderr, a file, or false")
    .addOption(new Option("--log-format <format>", "format of the log").choices(LOG_FORMATS))
    .addOption(new Option("--log-level <level>", "how much to log").choices(LOG_LEVELS));
  const added: unknown = addRelayOptions(served as unknown as Command);
  return added as Command<Args, Flags & ServeFlags>;
}

/** The options of every command whose exchanges are recorded. */
export function addRecordOptions<Args extends unknown[], Flags extends OptionValues>(
  command: Command<Args, Flags>,
): Command<Args, Flags & Pick<ServeFlags, "inspect" | "redact">> {
  const added: unknown = command
    .addOption(new Option("--inspect <boolean>", "record exchanges for the local API").argParser(booleanFlag))
    .addOption(
      new Option("--redact <names>", "header and JSON field names whose values are not recorded").argParser(nameList),
    );
  return added as Command<Args, Flags & Pick<ServeFlags, "inspect" | "redact">>;
}

/** What {@link addRelayOptions} adds. */
type RelayOptions = Pick<ServeFlags, "relay" | "authtoken" | "insecure" | "proxy" | "ca" | "config">;

/** Repeatable, and comma separated. */
function nameList(text: string, before: readonly string[] | undefined): readonly string[] {
  const names = text.split(",").map((name) => name.trim());
  if (names.includes("")) throw new InvalidArgumentError("an empty name.");
  return [...(before ?? []), ...names];
}

/** `true` or `false`. */
export function booleanFlag(text: string): boolean {
  try {
    return parseBoolean(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}
