import { rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { GgrokPrograms } from "./ggrok.ts";
import { Processes } from "./processes.ts";
import type { TargetContext } from "./targets.ts";

/** Longest a whole run may take; a hung target must not hold a machine for ever. */
const MAX_RUN_MS = 45 * 60_000;

/** Run `work` with a folder and processes that are gone afterwards, however it ends. */
export async function withWorkspace<T>(
  programs: GgrokPrograms,
  work: (context: TargetContext) => Promise<T>,
): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "ggrok-bench-"));
  await using processes = new Processes();
  const abandon = (reason: string): void => {
    console.error(reason);
    process.exit(1);
  };
  const onSignal = (signal: NodeJS.Signals): void => abandon(`stopped by ${signal}`);
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  // A signal or an exception nobody caught ends this process without unwinding; its children and folder would stay.
  const onExit = (): void => {
    processes.killAll();
    rmSync(directory, { recursive: true, force: true });
  };
  process.once("exit", onExit);
  const timer = setTimeout(() => abandon(`not finished after ${MAX_RUN_MS / 60_000} minutes`), MAX_RUN_MS);
  try {
    return await work({ processes, directory, programs });
  } finally {
    clearTimeout(timer);
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal).off("exit", onExit);
    await rm(directory, { recursive: true, force: true });
  }
}
