import { Command, CommanderError } from "commander";
import { addOperatorCommands } from "./cli/commands.ts";
import { OperatorError } from "./cli/operator.ts";
import type { RelayConfig } from "./config/config.ts";
import { describeConfig, flagOf } from "./config/describe.ts";
import { loadConfig } from "./config/load.ts";
import { SETTING_NAMES, SETTINGS, type SettingName } from "./config/schema.ts";
import { RELAY_VERSION } from "./version.ts";

/** Exit codes of `ggrok-relay`. */
export const ExitCode = { Stopped: 0, Unexpected: 1, Usage: 2, Configuration: 3 } as const;

/** What the command line asks for: to run a relay, to do something else, or to end with a code. */
export type Invocation =
  | { readonly run: RelayConfig }
  | { readonly task: () => Promise<number> }
  | { readonly exit: number };

/** What the command line reads and writes. */
export interface CliIo {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly isTerminal: boolean;
  out(text: string): void;
  err(text: string): void;
}

/** Parses the arguments behind the program's name. */
export function parseCommandLine(args: readonly string[], io: CliIo): Invocation {
  let invocation: Invocation = { exit: ExitCode.Stopped };
  const program = new Command("ggrok-relay")
    .description("The ggrok relay: the public end of your tunnels.")
    .version(RELAY_VERSION)
    .showHelpAfterError("(ggrok-relay --help lists the flags)")
    .configureOutput({ writeOut: io.out, writeErr: io.err })
    .exitOverride()
    .enablePositionalOptions(false);
  addSettings(program).action((flags: Record<string, unknown>) => {
    invocation = load(flags, io, (config) => ({ run: config }));
  });
  const check = program.command("check").description("validate the configuration and print it with secrets redacted");
  addSettings(check).action((_flags, command: Command) => {
    invocation = load(command.optsWithGlobals(), io, (config) => {
      io.out(describeConfig(config));
      return { exit: ExitCode.Stopped };
    });
  });
  addOperatorCommands(program, io, (command, task) => {
    invocation = load(command.optsWithGlobals(), io, (config) => ({ task: () => settle(task(config), io) }));
  });
  try {
    program.parse(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return { exit: error.exitCode === 0 ? ExitCode.Stopped : ExitCode.Usage };
  }
  return invocation;
}

/** The exit code of a command; what went wrong is said in a sentence. */
async function settle(task: Promise<number>, io: CliIo): Promise<number> {
  try {
    return await task;
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    io.err(`ggrok-relay: ${error.message}\n`);
    return error.exitCode;
  }
}

function addSettings(command: Command): Command {
  for (const name of SETTING_NAMES) {
    const { text, fallback, env, list } = SETTINGS[name] as {
      text: string;
      fallback: string;
      env: readonly string[];
      list?: boolean;
    };
    const help = `${text} (default: ${fallback}; ${env.join(", ")})`;
    if (list === true) command.option(flagOf(name), help, (value: string, before: string[] = []) => [...before, value]);
    else command.option(flagOf(name), help);
  }
  return command.option("--config <file>", "YAML file with the same settings (GGROK_RELAY_CONFIG)");
}

function load(options: Record<string, unknown>, io: CliIo, then: (config: RelayConfig) => Invocation): Invocation {
  const flags = Object.fromEntries(
    SETTING_NAMES.map((name): [SettingName, unknown] => [name, options[camelCase(name)]]),
  );
  const file = options["config"] ?? io.env["GGROK_RELAY_CONFIG"];
  const { config, problems } = loadConfig({
    flags,
    env: io.env,
    isTerminal: io.isTerminal,
    ...(typeof file === "string" && { configFile: file }),
  });
  if (problems === undefined) return then(config);
  io.err(
    `ggrok-relay: the configuration is not valid\n${problems.map(({ key, message }) => `  ${key} ${message}\n`).join("")}`,
  );
  return { exit: ExitCode.Configuration };
}

function camelCase(name: string): string {
  return name.replace(/-([a-z])/gu, (_, letter: string) => letter.toUpperCase());
}
