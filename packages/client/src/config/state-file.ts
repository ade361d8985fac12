import { readFileSync } from "node:fs";
import { join } from "node:path";
import { writePrivateFile } from "./private-file.ts";

/** Reads one JSON file of the state folder; undefined when it is missing or does not parse: state is only ever a memory aid. */
export function readState(stateDir: string, name: string): unknown {
  try {
    return JSON.parse(readFileSync(join(stateDir, name), "utf8"));
  } catch {
    return undefined;
  }
}

/** Writes one JSON file of the state folder. False where the folder cannot be written, as in a read-only container. */
export function writeState(stateDir: string, name: string, value: unknown): boolean {
  try {
    writePrivateFile(join(stateDir, name), `${JSON.stringify(value, undefined, 2)}\n`);
    return true;
  } catch {
    return false;
  }
}
