import { GgrokError } from "@ggrok/protocol";

/** Exit codes of `ggrok`, which scripts and supervisors rely on. */
export const ExitCode = {
  Ok: 0,
  Unexpected: 1,
  Usage: 2,
  Config: 3,
  TokenRefused: 4,
  NameUnavailable: 5,
  RelayUnreachable: 6,
  AppSilent: 7,
  VersionMismatch: 8,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** The exit code an error ends the program with. Failures of the table carry theirs. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return ExitCode.Usage;
  return error instanceof GgrokError ? error.exitCode : ExitCode.Unexpected;
}

/** A failure of which an event has told already: its `cause`. */
export class ToldError extends Error {}

/** What an agent ended with, of which it has told by an event; undefined when it was closed. */
export async function endOf(agent: {
  readonly ended: Promise<GgrokError | undefined>;
}): Promise<ToldError | undefined> {
  const cause = await agent.ended;
  return cause === undefined ? undefined : new ToldError(cause.message, { cause });
}

/** The command line itself is wrong. */
export class UsageError extends Error {}

/** Runs a parser of a flag's or argument's value; what it refuses is a wrong command line. */
export function parseFlag<T>(name: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new UsageError(`${name}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
