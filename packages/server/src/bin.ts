import { GgrokError } from "@ggrok/protocol";
import { ExitCode, parseCommandLine } from "./cli.ts";
import type { RelayConfig } from "./config/config.ts";
import { describeListenFailure } from "./listen-failure.ts";
import type { Relay } from "./relay.ts";

const invocation = parseCommandLine(process.argv.slice(2), {
  env: process.env,
  isTerminal: process.stdout.isTTY === true,
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
});
if ("exit" in invocation) process.exitCode = invocation.exit;
else if ("task" in invocation) process.exitCode = await invocation.task().catch(fail);
else await run(invocation.run);

async function run(config: RelayConfig): Promise<void> {
  let relay: Relay | undefined;
  let isStopping = false;
  // Before the start: a signal that comes early must find its handler.
  const onSignal = (): void => {
    if (isStopping) process.exit(ExitCode.Unexpected);
    isStopping = true;
    if (relay !== undefined) void stop(relay);
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, onSignal);
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);
  // The operator's commands do without the relay itself.
  const { startRelay } = await import("./relay.ts");
  relay = await startRelay(config).catch(fail);
  if (isStopping) await stop(relay);
}

async function stop(relay: Relay): Promise<void> {
  await relay.close().catch(fail);
  process.exit(ExitCode.Stopped);
}

/** Nothing is known about the state behind an error nobody expected: say what it was and let the supervisor restart. */
function fail(error: unknown): never {
  if (error instanceof GgrokError && error.code === "ERR_GGROK_CONFIG_INVALID") {
    process.stderr.write(`ggrok-relay: ${error.message}\n`);
    process.exit(ExitCode.Configuration);
  }
  const text =
    describeListenFailure(error) ?? (error instanceof Error ? (error.stack ?? error.message) : String(error));
  process.stderr.write(`ggrok-relay: ${text}\n`);
  process.exit(ExitCode.Unexpected);
}
