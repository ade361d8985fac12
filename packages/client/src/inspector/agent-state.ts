import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readState, writeState } from "../config/state-file.ts";
import { inspectorFolder } from "./open-store.ts";

const stateSchema = z.object({
  url: z.string(),
  token: z.string(),
  pid: z.int(),
  folder: z.string(),
});

/** How programs of this user reach a running agent's local API. */
export type AgentState = z.infer<typeof stateSchema>;

/** Writes the file that only its owner can read; the function it returns removes it. */
export function writeAgentState(stateDir: string, key: string, state: AgentState): () => void {
  const name = join("inspector", `${key}.json`);
  writeState(stateDir, name, state);
  return () => rmSync(join(stateDir, name), { force: true });
}

/** The agents that have said they run; one that was killed has left its file, and answers no call. */
export function readAgentStates(stateDir: string): AgentState[] {
  let names: string[];
  try {
    names = readdirSync(inspectorFolder(stateDir));
  } catch {
    return [];
  }
  return names
    .filter((name) => name.endsWith(".json"))
    .sort()
    .flatMap((name) => {
      const state = stateSchema.safeParse(readState(inspectorFolder(stateDir), name));
      return state.success ? [state.data] : [];
    });
}
