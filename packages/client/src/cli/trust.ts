import { dirname } from "node:path";
import { isTrustedProject, sensitiveSettings, trustProject } from "../config/project-trust.ts";
import type { ConfigLayer } from "../config/settings.ts";
import { configError } from "../config/values.ts";
import { escapeForTerminal } from "./escape.ts";
import type { Io } from "./io.ts";

/**
 * A project file may have come with a cloned repository: what it says about relay, proxy, authorities and folders is
 * confirmed once per folder. Without a terminal nobody can be asked, so it is an error.
 */
export async function confirmProject(project: ConfigLayer, stateDir: string, io: Io): Promise<void> {
  const settings = sensitiveSettings(project.config);
  const folder = dirname(project.path);
  if (settings.length === 0 || isTrustedProject(stateDir, folder, settings)) return;
  const list = settings.map((line) => `  ${escapeForTerminal(line)}`).join("\n");
  if (!io.stdin.isTTY || !io.stderr.isTTY) {
    throw configError(
      `${project.path} was not confirmed for this folder yet. It says:\n${list}\nRun ggrok here on a terminal once, or give --relay (or GGROK_RELAY) yourself.`,
    );
  }
  const { confirm, isCancel } = await import("@clack/prompts");
  const answer = await confirm({
    message: `${escapeForTerminal(project.path)} wants to decide where this machine connects:\n${list}\nUse it in this folder from now on?`,
    initialValue: false,
    output: io.stderr,
  });
  if (isCancel(answer) || !answer) throw configError(`${project.path} was not confirmed`);
  trustProject(stateDir, folder, settings);
}
