import type { Duplex } from "node:stream";
import { Duplex as DuplexStream } from "node:stream";
import type { Command } from "@commander-js/extra-typings";
import { GgrokError } from "@ggrok/protocol";
import { type ListenAddress, parseListenAddress } from "../../config/values.ts";
import type { Connector } from "../../connect/connector.ts";
import { parseTunnelName } from "../../connect/tunnel-name.ts";
import { join } from "../../join.ts";
import { CLIENT_VERSION } from "../../version.ts";
import { addRelayOptions } from "../common-options.ts";
import { loadContext, pickToken, pickWay, type RelayFlags, requireRelay } from "../context.ts";
import { escapeForTerminal, stringifyForTerminal } from "../escape.ts";
import { ExitCode, parseFlag, UsageError } from "../exit-codes.ts";
import type { Io } from "../io.ts";

/** What people wait for after Ctrl+C. */
const STOP_GRACE_MS = 10_000;
const ANY_LOCAL_PORT: ListenAddress = { host: "127.0.0.1", port: 0 };

/** What `ggrok connect` takes. */
interface ConnectFlags extends RelayFlags {
  readonly listen?: string;
  readonly stdio?: boolean;
  readonly json?: boolean;
  readonly proxy?: string;
  readonly ca?: string;
}

/** Adds `ggrok connect` to the command line. */
export function addConnect(program: Command, io: Io, setCode: (code: number) => void): void {
  const options = program
    .command("connect")
    .summary("reach a TCP tunnel through the relay's one port")
    .description(
      "reach a TCP tunnel through the relay's one port\n\nname: db, or db.tunnels.example.com. Without --listen and --stdio it listens on a free port when it is started on a terminal, and speaks on standard input and output else.",
    )
    .argument("<name>", "the tunnel's name")
    .option(
      "--listen <address>",
      "listen here, and join every connection to one of the tunnel: 127.0.0.1:5432, or 5432",
    )
    .option("--stdio", "one connection on standard input and output, as ssh's ProxyCommand wants it")
    .option("--json", "print events as JSON, one a line");
  addRelayOptions(options).action(async (name: string, flags: ConnectFlags) =>
    setCode(await runConnect(name, flags, io)),
  );
}

/** `ggrok connect <name>`. Returns the exit code. */
async function runConnect(nameText: string, flags: ConnectFlags, io: Io): Promise<number> {
  const name = parseFlag("name", () => parseTunnelName(nameText));
  const { listen } = flags;
  if (listen !== undefined && flags.stdio === true) throw new UsageError("--listen and --stdio exclude each other");
  const isStdio = flags.stdio ?? (listen === undefined && !(io.stdin.isTTY && io.stdout.isTTY));
  const address = listen === undefined ? ANY_LOCAL_PORT : parseFlag("--listen", () => parseListenAddress(listen));
  const connector = await openConnector(flags, io);
  try {
    if (isStdio) await speakOnStdio(connector, name, io);
    else await serveLocally({ connector, name, address, isJson: flags.json === true, io });
    return ExitCode.Ok;
  } finally {
    connector.close();
  }
}

async function openConnector(flags: ConnectFlags, io: Io): Promise<Connector> {
  const context = loadContext(flags, io);
  const relay = await requireRelay(context, flags, io);
  const token = pickToken(context, relay, flags, io);
  const way = await pickWay(context, flags, io);
  const { Connector } = await import("../../connect/connector.ts");
  return new Connector({
    relay: relay.value,
    stateDir: context.paths.stateDir,
    userAgent: `ggrok/${CLIENT_VERSION}`,
    ...(token !== undefined && { token }),
    ...way,
  });
}

async function speakOnStdio(connector: Connector, name: string, io: Io): Promise<void> {
  let remote: Duplex;
  try {
    remote = await connector.open(name, io.stop);
  } catch (error) {
    if (io.stop.aborted) return;
    throw error;
  }
  const local = DuplexStream.from({ readable: io.stdin, writable: io.stdout });
  const stop = (): void => void remote.destroy();
  io.stop.addEventListener("abort", stop, { once: true });
  const error = await join(local, remote);
  io.stop.removeEventListener("abort", stop);
  if (error !== undefined && !io.stop.aborted)
    throw error instanceof GgrokError ? error : new GgrokError("ERR_GGROK_UPSTREAM_RESET", { cause: error });
}

async function serveLocally(o: {
  connector: Connector;
  name: string;
  address: ListenAddress;
  isJson: boolean;
  io: Io;
}): Promise<void> {
  const { connector, name, io } = o;
  const say = (event: Record<string, string>, text: string, isResult: boolean): void => {
    if (o.isJson) io.stdout.write(`${stringifyForTerminal(event)}\n`);
    else (isResult ? io.stdout : io.stderr).write(`${escapeForTerminal(text)}\n`);
  };
  const { listenFor } = await import("../../connect/listen.ts");
  const listener = await listenFor(
    o.address,
    (signal) => connector.open(name, signal),
    (error) => {
      const message = error instanceof Error ? error.message : String(error);
      const code = error instanceof GgrokError ? error.code : "ERR_GGROK_INTERNAL";
      say({ event: "error", code, message }, `ggrok: ${message}`, false);
    },
  );
  const { address, family, port } = listener.address;
  const url = `tcp://${family === "IPv6" ? `[${address}]` : address}:${String(port)}`;
  say({ event: "connect.listening", name, url }, url, true);
  await new Promise<void>((resolve_) => {
    if (io.stop.aborted) resolve_();
    io.stop.addEventListener("abort", () => resolve_(), { once: true });
  });
  await listener.close(STOP_GRACE_MS);
}
