import { Command, CommanderError, Help } from "@commander-js/extra-typings";
import { GgrokError } from "@ggrok/protocol";
import { CLIENT_VERSION } from "../version.ts";
import { addAuthtoken, checkConfig, printConfigPath, setRelay } from "./commands/config.ts";
import { editConfig } from "./commands/config-edit.ts";
import { importConfig } from "./commands/config-import.ts";
import { addConnect } from "./commands/connect.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addHttp } from "./commands/http.ts";
import type { LoginFlags } from "./commands/login.ts";
import { addProxy } from "./commands/proxy.ts";
import { addReplay } from "./commands/replay.ts";
import { addRequests } from "./commands/requests.ts";
import { addStart } from "./commands/start.ts";
import type { StatusFlags } from "./commands/status.ts";
import { addTcp } from "./commands/tcp.ts";
import type { RelayFlags } from "./context.ts";
import { escapeForTerminal, stringifyForTerminal } from "./escape.ts";
import { ExitCode, exitCodeOf, ToldError, UsageError } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { normalizeArguments, shieldIds } from "./normalize-arguments.ts";

/** Runs one command line. Returns the exit code; nothing is thrown. */
export async function runProgram(argv: readonly string[], io: Io): Promise<number> {
  const outcome = { code: ExitCode.Ok as number };
  const { own, command } = splitCommand(argv);
  const setCode = (code: number): void => {
    outcome.code = code;
  };
  const program = buildProgram(io, setCode, command);
  try {
    if (own[0] === "completion" || own[0] === "complete") {
      const { addCompletion } = await import("./commands/completion.ts");
      addCompletion(program, io);
      await program.parseAsync([...argv], { from: "user" });
      return outcome.code;
    }
    describeCompletion(program);
    if (command !== undefined && own[0] !== "http")
      throw new UsageError(`a command behind -- belongs to \`ggrok http\`, not to \`ggrok ${own[0] ?? ""}\``);
    await program.parseAsync(normalizeArguments(own), { from: "user" });
    return outcome.code;
  } catch (error) {
    // Commander has said what is wrong itself; help and version that were asked for are no error.
    if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.Ok : ExitCode.Usage;
    const cause = error instanceof ToldError ? error.cause : error;
    if (cause === error && printsEvents(program, own[0])) writeErrorEvent(cause, io);
    io.stderr.write(`${describeError(cause)}\n`);
    return exitCodeOf(cause);
  }
}

function buildProgram(io: Io, setCode: (code: number) => void, command?: readonly string[]): Command {
  const program = new Command("ggrok")
    .description("a public URL for the app on your machine, through a relay of your own")
    .version(CLIENT_VERSION, "-v, --version", "print the version")
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      outputError: (text, write) => write(`ggrok: ${escapeLines(text.replace(/^error: /, "").trimEnd())}\n`),
    })
    // What is collected begins as nothing; that needs no saying.
    .configureHelp({
      optionDescription: (option) => new Help().optionDescription(option).replace(" (default: [])", ""),
    })
    .exitOverride()
    .showSuggestionAfterError();
  addHttp(program, io, setCode, command);
  addTcp(program, io, setCode);
  addStart(program, io, setCode);
  addConnect(program, io, setCode);
  addProxy(program, io, setCode);
  addRequests(program, io, setCode);
  addReplay(program, io, setCode);
  addLogin(program, io, setCode);
  addConfig(program, io, setCode);
  program
    .command("status")
    .description("show the agents that run on this machine")
    .option("--web-addr <address>", "ask the agent whose local API is here")
    .option("--json", "print JSON")
    .option("--config <file>", "read this configuration file only")
    .action(async (flags: StatusFlags) => {
      const { runStatus } = await import("./commands/status.ts");
      setCode(await runStatus(flags, io));
    });
  addDoctor(program, io, setCode);
  program
    .command("version")
    .description("print the version")
    .action(() => {
      io.stdout.write(`ggrok version ${CLIENT_VERSION}\n`);
    });
  return program;
}

function addLogin(program: Command, io: Io, setCode: (code: number) => void): void {
  program
    .command("login")
    .description("prove a token against a relay and store it; it is asked for, or read from standard input")
    .argument("[relay]", "host, host:port or https://host")
    .option("--authtoken <token>", "the token, also as env:NAME or file:PATH")
    .option("--relay <relay>", "the same as the argument")
    .option("--insecure", "allow http:// to a relay beyond this machine")
    .option("--proxy <url>", "HTTP or SOCKS proxy on the way to the relay")
    .option("--ca <file>", "further certificate authorities for the relay, PEM")
    .option("--config <file>", "store it in this file")
    .action(async (relay: string | undefined, flags: LoginFlags) => {
      const { runLogin } = await import("./commands/login.ts");
      setCode(await runLogin(relay, flags, io));
    });
}

function addConfig(program: Command, io: Io, setCode: (code: number) => void): void {
  const config = program.command("config").description("change and check the configuration file");
  config
    .command("add-authtoken")
    .description("store a token for the relay in use")
    .argument("<token>", "the token, also as env:NAME or file:PATH")
    .option("--relay <relay>", "the relay it is for")
    .option("--insecure", "allow http:// to a relay beyond this machine")
    .option("--config <file>", "store it in this file")
    .action((token: string, flags: RelayFlags) => setCode(addAuthtoken(token, flags, io)));
  config
    .command("set-relay")
    .description("set the relay to use")
    .argument("<relay>", "host, host:port or https://host")
    .option("--insecure", "allow http:// to a relay beyond this machine")
    .option("--config <file>", "store it in this file")
    .action((relay: string, flags: RelayFlags) => setCode(setRelay(relay, flags, io)));
  config
    .command("check")
    .description("check the configuration files")
    .option("--config <file>", "check this file only")
    .action((flags: RelayFlags) => setCode(checkConfig(flags, io)));
  config
    .command("edit")
    .description("open the configuration file in VISUAL or EDITOR, and check it after")
    .option("--config <file>", "another file")
    .action(async (flags: RelayFlags) => setCode(await editConfig(flags, io)));
  config
    .command("import")
    .summary("take over the endpoints of an ngrok.yml")
    .description("take over the endpoints of an ngrok.yml; what has no counterpart here is named")
    .argument("[file]", "an ngrok configuration (default: where ngrok keeps it)")
    .option("--config <file>", "add them to this file")
    .action((file: string | undefined, flags: RelayFlags) => setCode(importConfig(file, flags, io)));
  config
    .command("path")
    .description("print where the configuration file is")
    .option("--config <file>", "another file")
    .action((flags: RelayFlags) => setCode(printConfigPath(flags, io)));
}

/** For the help alone: the command itself is loaded when it is asked for. */
function describeCompletion(program: Command): void {
  program
    .command("completion")
    .summary("print a script that completes commands in your shell")
    .description(
      "print a script that completes commands in your shell\n\nbash: source <(ggrok completion bash)\nzsh:  source <(ggrok completion zsh)\nfish: ggrok completion fish | source",
    )
    .argument("<shell>", "bash, zsh, fish or powershell");
}

/** What stands behind `--` is a command of the user's, with options of its own. */
function splitCommand(argv: readonly string[]): { own: readonly string[]; command?: readonly string[] } {
  if (argv[0] === "requests" || argv[0] === "replay") return { own: shieldIds(argv) };
  const end = argv.indexOf("--");
  return end === -1 || end === argv.length - 1
    ? { own: argv.filter((_argument, at) => at !== end) }
    : { own: argv.slice(0, end), command: argv.slice(end + 1) };
}

/** Commands whose standard output is a line of events with `--json`. */
const EVENT_COMMANDS: ReadonlySet<string | undefined> = new Set(["http", "tcp", "start", "proxy", "connect"]);

function printsEvents(program: Command, name: string | undefined): boolean {
  if (!EVENT_COMMANDS.has(name)) return false;
  const command = program.commands.find((candidate) => candidate.name() === name);
  const { json, stdio }: { json?: boolean; stdio?: boolean } = command?.opts() ?? {};
  return json === true && stdio !== true;
}

/** A script that reads events learns of what ended the program there, too. A wrong command line is told by exit code 2. */
function writeErrorEvent(error: unknown, io: Io): void {
  if (error instanceof UsageError) return;
  const { code, message } =
    error instanceof GgrokError ? error : new GgrokError("ERR_GGROK_INTERNAL", { message: messageOf(error) });
  io.stdout.write(`${stringifyForTerminal({ event: "error", code, message })}\n`);
}

/** What went wrong, what to do now, and the code to look it up by; everything else a terminal acts upon is escaped. */
function describeError(error: unknown): string {
  const lines = [`ggrok: ${messageOf(error)}`];
  // What is wrong with the configuration says itself what to write instead.
  if (error instanceof GgrokError && error.code !== "ERR_GGROK_CONFIG_INVALID") lines.push(error.nextStep);
  if (error instanceof GgrokError) lines.push(`${lines.pop() ?? ""} (${error.code})`);
  if (error instanceof UsageError) lines.push("See ggrok --help.");
  return lines.map(escapeLines).join("\n");
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function escapeLines(text: string): string {
  return text
    .split("\n")
    .map((line) => escapeForTerminal(line))
    .join("\n");
}
