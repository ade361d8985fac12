import { styleText } from "node:util";
import type { Command } from "@commander-js/extra-typings";
import { GgrokError } from "@ggrok/protocol";
import { chooseWebAddress, DEFAULT_WEB_ADDRESS } from "../../config/inspector-settings.ts";
import { chooseRelay, chooseToken, type SettingSource } from "../../config/settings.ts";
import { type ListenAddress, parseListenAddress } from "../../config/values.ts";
import type { Examination } from "../../doctor/examine.ts";
import type { Finding } from "../../doctor/finding.ts";
import { parseTarget } from "../../forward/target.ts";
import { addRelayOptions } from "../common-options.ts";
import { type Context, loadContext, pickWay, type RelayFlags, requireRelay } from "../context.ts";
import { escapeForTerminal, stringifyForTerminal } from "../escape.ts";
import { ExitCode, parseFlag } from "../exit-codes.ts";
import type { Io } from "../io.ts";

const HOP_COLUMN = 16;

interface DoctorFlags extends RelayFlags {
  readonly proxy?: string;
  readonly ca?: string;
  readonly webAddr?: string;
  readonly json?: boolean;
}

/** Adds `ggrok doctor` to the command line. */
export function addDoctor(program: Command, io: Io, setCode: (code: number) => void): void {
  const options = program
    .command("doctor")
    .summary("walk the way to the relay and to the app, and name the hop that fails")
    .description(
      "walk the way to the relay and to the app, hop by hop, and name the one that fails, with its fix\n\nThe exit code is 0 when nothing fails, else the one that `ggrok http` would end with.",
    )
    .argument("[target]", "where the app listens: 3000, host:3000, http://host:port, unix:/path.sock")
    .option(
      "--web-addr <address>",
      `where the local API would listen; false for none (default: "${DEFAULT_WEB_ADDRESS}")`,
    )
    .option("--json", "print JSON");
  addRelayOptions(options).action(async (target: string | undefined, flags: DoctorFlags) =>
    setCode(await runDoctor(target, flags, io)),
  );
}

async function runDoctor(targetText: string | undefined, flags: DoctorFlags, io: Io): Promise<number> {
  const examination = await readCommandLine(targetText, flags, io);
  const { examine } = await import("../../doctor/examine.ts");
  const findings: Finding[] = [];
  for await (const finding of examine(examination)) {
    findings.push(finding);
    if (flags.json !== true) io.stdout.write(describe(finding, io));
  }
  const broken = findings.find(({ status }) => status === "failed");
  if (flags.json === true) {
    const hops = findings.map(({ exitCode: _code, ...finding }) => finding);
    io.stdout.write(`${stringifyForTerminal({ ok: broken === undefined, failed: broken?.hop ?? null, hops })}\n`);
  } else io.stdout.write(conclude(findings, broken));
  return broken?.exitCode ?? ExitCode.Ok;
}

async function readCommandLine(text: string | undefined, flags: DoctorFlags, io: Io): Promise<Examination> {
  const target = text === undefined ? undefined : parseFlag("target", () => parseTarget(text));
  const context = loadContext(flags, io);
  return {
    ...(await readRelay(context, flags, io)),
    ...(await pickWay(context, flags, io)),
    ...(target !== undefined && { target }),
    env: io.env,
    webAddress: readWebAddress(context, flags),
    now: () => new Date(),
    signal: io.stop,
  };
}

/** A missing relay is a finding, not the end: what there is on this machine can be examined without one. */
async function readRelay(context: Context, flags: DoctorFlags, io: Io): Promise<Pick<Examination, "relay" | "token">> {
  try {
    const relay = await requireRelay(context, flags, io);
    const { token, source, note } = chooseToken(context.layers, relay, flags.authtoken);
    if (note !== undefined) io.stderr.write(`ggrok: ${escapeForTerminal(note)}\n`);
    const found = { address: relay.value, source: SOURCE[relay.source]("--relay", "GGROK_RELAY") };
    if (token === undefined || source === undefined) return { relay: found };
    return { relay: found, token: { value: token, source: SOURCE[source]("--authtoken", "GGROK_AUTHTOKEN") } };
  } catch (error) {
    if (error instanceof GgrokError && chooseRelay(context.layers, flags) === undefined) return {};
    throw error;
  }
}

const SOURCE: Readonly<Record<SettingSource, (flag: string, variable: string) => string>> = {
  flag: (flag) => flag,
  environment: (_flag, variable) => variable,
  project: () => "./ggrok.yml",
  user: () => "your configuration file",
};

function readWebAddress(context: Context, flags: DoctorFlags): ListenAddress | false {
  const { webAddr } = flags;
  if (webAddr === "false") return false;
  if (webAddr !== undefined) return parseFlag("--web-addr", () => parseListenAddress(webAddr));
  return chooseWebAddress(context.layers);
}

const MARK = { ok: "ok", warning: "warn", failed: "FAIL", skipped: "-" } as const;
const COLOUR = { ok: "green", warning: "yellow", failed: "red", skipped: "dim" } as const;

function describe(finding: Finding, io: Io): string {
  const { hop, status, message, fix } = finding;
  const mark = styleText(COLOUR[status], MARK[status].padEnd(5), { stream: io.stdout });
  const lines = [`${mark}${hop.padEnd(HOP_COLUMN)}${indented(message)}`];
  if (fix !== undefined) lines.push(`${" ".repeat(5 + HOP_COLUMN)}${indented(fix)}`);
  return `${lines.join("\n")}\n`;
}

function indented(text: string): string {
  const lines = text.trimEnd().split("\n");
  return lines.map((line) => escapeForTerminal(line)).join(`\n${" ".repeat(5 + HOP_COLUMN)}`);
}

function conclude(findings: readonly Finding[], broken: Finding | undefined): string {
  const warnings = findings.filter(({ status }) => status === "warning").length;
  if (broken !== undefined) return `\nThe hop that fails: ${broken.hop}.\n`;
  return warnings === 0 ? "\nNothing fails.\n" : `\nNothing fails; ${warnings} to look at.\n`;
}
