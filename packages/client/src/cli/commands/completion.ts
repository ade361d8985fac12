import tab from "@bomb.sh/tab/commander";
import type { Command } from "@commander-js/extra-typings";
import type { Command as AnyCommand } from "commander";
import { loadContext } from "../context.ts";
import type { Io } from "../io.ts";
import { layerWithEndpoints } from "./start.ts";

/**
 * Adds `ggrok completion <shell>`, which prints a script, and the hidden `ggrok complete -- …` that the script asks. Called when
 * all other commands are there.
 */
export function addCompletion(program: Command, io: Io): void {
  const root = tab(program as unknown as AnyCommand, { completionCommandName: "completion" });
  // A candidate is one line.
  for (const command of root.commands.values()) command.description = command.description.split("\n", 1)[0] ?? "";
  root.commands.get("start")?.argument("names", (complete) => nameEndpoints(io, complete), true);
  root.commands.get("http")?.option("host-header", "the Host the app sees", (complete) => {
    for (const mode of ["auto", "preserve", "rewrite"]) complete(mode, "");
  });
}

function nameEndpoints(io: Io, complete: (name: string, description: string) => void): void {
  try {
    const { layers } = loadContext({}, io);
    for (const { name, upstream } of layerWithEndpoints(layers)?.config.endpoints ?? [])
      complete(name, String(upstream.url));
  } catch {
    // A file with a mistake has no names to offer; whoever is typing wants to hear no more of it.
  }
}
