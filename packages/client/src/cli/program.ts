import { Command, CommanderError, InvalidArgumentError, Option } from "@commander-js/extra-typings";
import { GgrokError } from "@ggrok/protocol";
import { parseBoolean } from "../config/values.ts";
import { CLIENT_VERSION } from "../version.ts";
import { addAuthtoken, checkConfig, printConfigPath, setRelay } from "./commands/config.ts";
import { addConnect } from "./commands/connect.ts";
import { addDoctor } from "./commands/doctor.ts";
import { type HttpFlags, runHttp } from "./commands/http.ts";
import { type LoginFlags, runLogin } from "./commands/login.ts";
import { addProxy } from "./commands/proxy.ts";
import { runStatus, type StatusFlags } from "./commands/status.ts";
import { addTcp } from "./commands/tcp.ts";
import type { RelayFlags } from "./context.ts";
import { escapeForTerminal } from "./escape.ts";
import { ExitCode, exitCodeOf, UsageError } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { LOG_FORMATS, LOG_LEVELS } from "./log.ts";
import { normalizeArguments } from "./normalize-arguments.ts";
import { appendCidrs, appendGlobs, appendText } from "./visitor-flags.ts";

/** Runs one command line. Returns the exit code; nothing is thrown. */
export async function runProgram(argv: readonly string[], io: Io): Promise<number> {
  const outcome = { code: ExitCode.Ok as number };
  const program = buildProgram(io, (code) => {
    outcome.code = code;
  });
  try {
    await program.parseAsync(normalizeArguments(argv), { from: "user" });
    return outcome.code;
  } catch (error) {
    // Commander has said what is wrong itself; help and version that were asked for are no error.
    if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.Ok : ExitCode.Usage;
    io.stderr.write(`${describeError(error)}\n`);
    return exitCodeOf(error);
  }
}

function buildProgram(io: Io, setCode: (code: number) => void): Command {
  const program = new Command("ggrok")
    .description("a public URL for the app on your machine, through a relay of your own")
    .version(CLIENT_VERSION, "-v, --version", "print the version")
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      outputError: (text, write) => write(`ggrok: ${escapeLines(text.replace(/^error: /, "").trimEnd())}\n`),
    })
    .exitOverride()
    .showSuggestionAfterError();
  addHttp(program, io, setCode);
  addProxy(program, io, setCode);
  addDoctor(program, io, setCode);
  addTcp(program, io, setCode);
  addConnect(program, io, setCode);
  addLogin(program, io, setCode);
  addConfig(program, io, setCode);
  program
    .command("status")
    .description("show the agents that run on this machine")
    .option("--web-addr <address>", "ask the agent whose local API is here")
    .option("--json", "print JSON")
    .option("--config <file>", "read this configuration file only")
    .action(async (flags: StatusFlags) => setCode(await runStatus(flags, io)));
  program
    .command("version")
    .description("print the version")
    .action(() => {
      io.stdout.write(`ggrok version ${CLIENT_VERSION}\n`);
    });
  return program;
}

function addHttp(program: Command, io: Io, setCode: (code: number) => void): void {
  program
    .command("http")
    .summary("give an HTTP app a public URL")
    .description("give an HTTP app a public URL\n\ntarget: 3000, host:3000, http://host:port/base or https://host:port")
    .argument("<target>", "where the app listens")
    .option("--url <url>", "the address to have: a URL, a host, or a bare name below the relay's domain")
    .option("--domain <name>", "the same as --url")
    .option("--subdomain <name>", "the same as --url")
    .option("--hostname <name>", "the same as --url")
    .option("--pooling-enabled", "share the address with other agents that say so too")
    .option("--takeover", "take the address from another living agent with the same token")
    .option("--strip-prefix", "remove the path of --url before the request reaches the app")
    .option(
      "--basic-auth <user:password>",
      "ask visitors to log in; repeatable, also as env:NAME or file:PATH",
      appendText,
      [],
    )
    .option("--basic-auth-pass", "let the app see the Authorization field that let the visitor in")
    .option("--cidr-allow <cidr>", "only these addresses may visit; repeatable or comma separated", appendCidrs, [])
    .option("--cidr-deny <cidr>", "these addresses may not visit; repeatable or comma separated", appendCidrs, [])
    .option("--rate-limit <N/s[:burst]>", "requests of one address, for instance 10/s or 100/m:200")
    .option("--open <path>", "paths that need no log-in, such as /webhooks/*; repeatable", appendGlobs, [])
    .option("--timeout <duration>", "longest silence of the app, for instance 30s (default: none)")
    .option("--wait <duration>", "print no URL before the app accepts connections; --wait alone means --wait=60s")
    .option("--local", "start a relay on this machine, with addresses at *.localhost")
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
    .option("--relay <relay>", "the relay: host, host:port or https://host (environment: GGROK_RELAY)")
    .option("--authtoken <token>", "token for the relay, also as env:NAME or file:PATH (environment: GGROK_AUTHTOKEN)")
    .option("--insecure", "allow http:// to a relay beyond this machine")
    .option("--proxy <url>", "HTTP or SOCKS proxy on the way to the relay (default: HTTPS_PROXY, ALL_PROXY, NO_PROXY)")
    .option("--ca <file>", "further certificate authorities for the relay, PEM")
    .option("--config <file>", "read this configuration file only (environment: GGROK_CONFIG)")
    .action(async (target: string, flags: HttpFlags) => setCode(await runHttp(target, flags, io)));
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
    .action(async (relay: string | undefined, flags: LoginFlags) => setCode(await runLogin(relay, flags, io)));
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
    .command("path")
    .description("print where the configuration file is")
    .option("--config <file>", "another file")
    .action((flags: RelayFlags) => setCode(printConfigPath(flags, io)));
}

/** Repeatable, and comma separated. */
function nameList(text: string, before: readonly string[] | undefined): readonly string[] {
  const names = text.split(",").map((name) => name.trim());
  if (names.includes("")) throw new InvalidArgumentError("an empty name.");
  return [...(before ?? []), ...names];
}

function booleanFlag(text: string): boolean {
  try {
    return parseBoolean(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}

/** What went wrong and what to do now; line ends of our own stay, everything else a terminal acts upon is escaped. */
function describeError(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const lines = [`ggrok: ${message}`];
  if (error instanceof GgrokError && error.code !== "ERR_GGROK_CONFIG_INVALID") lines.push(error.nextStep);
  if (error instanceof UsageError) lines.push("See ggrok --help.");
  return lines.map(escapeLines).join("\n");
}

function escapeLines(text: string): string {
  return text
    .split("\n")
    .map((line) => escapeForTerminal(line))
    .join("\n");
}
