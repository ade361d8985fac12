import { type Command, InvalidArgumentError } from "commander";
import type { RelayConfig } from "../config/config.ts";
import { publicOrigin, urlOfRelay } from "../relay/origin.ts";
import { DataDirOperator } from "./data-dir.ts";
import { type Operator, OperatorError } from "./operator.ts";
import { printReservations, printStatus, printTokens } from "./print.ts";
import { parseRelayOrigin, RemoteOperator } from "./remote.ts";

/** Where the commands write. */
export interface CommandIo {
  out(text: string): void;
  err(text: string): void;
}

/** Work that is done instead of running a relay; resolves with the exit code. */
export type Task = (config: RelayConfig) => Promise<number>;

interface TargetFlags {
  readonly relay?: string;
  readonly insecure?: boolean;
  readonly json?: boolean;
}

interface CreateFlags extends TargetFlags {
  readonly scopes?: string[];
  readonly names?: string[];
  readonly paths?: string[];
  readonly kinds?: string[];
  readonly ports?: [number, number][];
  readonly expires?: number;
}

interface ReserveFlags extends TargetFlags {
  readonly owner?: string;
  readonly for?: number;
  readonly release?: boolean;
  readonly force?: boolean;
}

const UNIT_S: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/**
 * Adds `token`, `reserve` and `status`.
 *
 * @param settle takes the work of the command that was called
 */
export function addOperatorCommands(
  program: Command,
  io: CommandIo,
  settle: (command: Command, task: Task) => void,
): void {
  const onTarget = (command: Command): Command =>
    command
      .option("--relay <url>", "work on a running relay through its admin API, with --admin-token")
      .option("--insecure", "let the admin token cross the network in the clear, to an http:// relay")
      .option("--json", "print JSON")
      .addHelpText("after", "\nWithout --relay it works on the store of --data-dir (GGROK_DATA_DIR).");
  const withOperator =
    (flags: TargetFlags, work: (operator: Operator) => Promise<string>): Task =>
    async (config) => {
      const operator = openOperator(config, flags);
      try {
        io.out(await work(operator));
        return 0;
      } finally {
        operator.close();
      }
    };

  const token = program.command("token").description("make, list and revoke tokens");
  onTarget(token.command("create <name>").description("make a token; it is printed this once"))
    .option("--scopes <list>", "bind, connect, admin (default: bind,connect)", words)
    .option("--names <globs>", "names the token may bind or connect to, such as alice-* or hooks.acme.com", words)
    .option("--paths <globs>", "path prefixes it may bind, such as /alice/**", words)
    .option("--kinds <list>", "http, tcp (default: both)", words)
    .option("--ports <ranges>", "public TCP ports it may bind, such as 20000-20010", ranges)
    .option("--expires <duration>", "how long it works, such as 30d (default: for ever)", lifetime)
    .action((name: string, flags: CreateFlags, command: Command) => {
      const { scopes, names, paths, kinds, ports, expires } = flags;
      const wish = { name, ...defined({ scopes, names, paths, kinds, ports, expiresInS: expires }) };
      settle(
        command,
        withOperator(flags, async (operator) => {
          const made = await operator.createToken(wish);
          if (flags.json === true) return json(made);
          const link = made.invite ?? `https://YOUR-RELAY/#${made.secret}`;
          io.err(
            `${name} is made. The token is shown this once; whoever has it can log in with\n  ggrok login ${link}\n`,
          );
          return `${made.secret}\n`;
        }),
      );
    });
  onTarget(token.command("list").description("all tokens")).action((flags: TargetFlags, command: Command) => {
    settle(
      command,
      withOperator(flags, async (operator) => {
        const tokens = await operator.listTokens();
        return flags.json === true ? json(tokens) : printTokens(tokens);
      }),
    );
  });
  onTarget(token.command("revoke <name>").description("revoke a token by name or id; its sessions end")).action(
    (name: string, flags: TargetFlags, command: Command) => {
      settle(
        command,
        withOperator(flags, async (operator) => {
          const revoked = await operator.revokeToken(name);
          return flags.json === true ? json(revoked) : `${revoked.name} (${revoked.id}) is revoked\n`;
        }),
      );
    },
  );
  onTarget(
    program.command("reserve [name]").description("reserve a name for the owner of a token; without a name: list"),
  )
    .option("--owner <token>", "name or id of the token that shall own it")
    .option("--for <duration>", "how long, such as 90d (default: until it is released)", lifetime)
    .option("--release", "give the name back")
    .option("--force", "take it from another owner")
    .action((name: string | undefined, flags: ReserveFlags, command: Command) => {
      if (name !== undefined && (flags.owner === undefined) === (flags.release !== true))
        command.error("error: say either --owner TOKEN or --release", { exitCode: 2 });
      settle(
        command,
        withOperator(flags, (operator) => reserve(operator, name, flags)),
      );
    });
  onTarget(
    program.command("status").description("what a running relay does; this machine's unless --relay says another"),
  ).action((flags: TargetFlags, command: Command) => {
    settle(command, (config) => showStatus(config, flags, io));
  });
}

async function reserve(operator: Operator, name: string | undefined, flags: ReserveFlags): Promise<string> {
  const { owner, release = false, force = false, json: isJson = false } = flags;
  if (name === undefined) {
    const reservations = await operator.listReservations();
    return isJson ? json(reservations) : printReservations(reservations);
  }
  if (release) {
    await operator.release(name);
    return isJson ? json({ name, released: true }) : `${name} is released\n`;
  }
  const wish = { name, token: owner ?? "", force, ...defined({ expiresInS: flags.for }) };
  const found = await operator.reserve(wish);
  if (isJson) return json(found);
  return `${found.name} is reserved for ${found.token ?? found.owner} until ${found.expiresAt ?? "it is released"}\n`;
}

async function showStatus(config: RelayConfig, flags: TargetFlags, io: CommandIo): Promise<number> {
  const relay = new RemoteOperator(originOf(config, flags), config.adminToken);
  if (config.adminToken === undefined) {
    const state = await relay.readiness();
    io.out(flags.json === true ? json({ state }) : `relay       ${state}\n`);
    io.err("With --admin-token or GGROK_ADMIN_TOKEN there is more to see.\n");
    return state === "ready" ? 0 : 1;
  }
  const [status, sessions, tunnels] = await Promise.all([relay.status(), relay.sessions(), relay.tunnels()]);
  io.out(flags.json === true ? json({ ...status, sessions, tunnels }) : printStatus(status, sessions, tunnels));
  return status.state === "ready" ? 0 : 1;
}

/** The relay that was named, else the one this configuration would start on this machine. */
function originOf(config: RelayConfig, flags: TargetFlags): string {
  if (flags.relay !== undefined) return parseRelayOrigin(flags.relay, flags.insecure === true);
  // A certificate names the relay and not this machine's own address.
  if (config.tls.length > 0) return urlOfRelay(config, config.port);
  return urlOfRelay({ ...config, publicUrl: undefined, domain: undefined }, config.port);
}

function openOperator(config: RelayConfig, flags: TargetFlags): Operator {
  if (flags.relay !== undefined) return new RemoteOperator(originOf(config, flags), config.adminToken);
  const { dataDir, domain, publicUrl } = config;
  if (dataDir === undefined) {
    const how = "give --data-dir (GGROK_DATA_DIR), or --relay with --admin-token for a running relay";
    throw new OperatorError(`there is no store to work on: ${how}`, 3);
  }
  const publicHost = publicUrl === undefined ? undefined : new URL(publicUrl).hostname;
  return new DataDirOperator(dataDir, { domain, publicHost }, publicOrigin(config));
}

/** A list by commas; the flag may also be repeated. */
function words(value: string, before: readonly string[] = []): string[] {
  return [...before, ...value.split(",").map((word) => word.trim())];
}

function ranges(value: string, before: readonly [number, number][] = []): [number, number][] {
  return [
    ...before,
    ...value.split(",").map((part): [number, number] => {
      const [, first = "", last = first] = /^\s*(\d{1,5})(?:-(\d{1,5}))?\s*$/u.exec(part) ?? [];
      if (first === "") throw new InvalidArgumentError("must be ports or ranges of them, such as 20000-20010.");
      return [Number(first), Number(last)];
    }),
  ];
}

function lifetime(value: string): number {
  const [, digits, unit = ""] = /^(\d{1,9})([smhd])$/u.exec(value) ?? [];
  const factor = UNIT_S[unit];
  if (digits === undefined || factor === undefined || Number(digits) === 0)
    throw new InvalidArgumentError("must be a duration with its unit, such as 12h or 30d.");
  return Number(digits) * factor;
}

function json(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}

/** Leaves out what is undefined, so that the schemas fill in their defaults. */
function defined<T extends Record<string, unknown>>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
