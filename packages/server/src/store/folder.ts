import { mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Makes a folder that nobody else may read, with the folders above it.
 *
 * Not `recursive` of mkdir: below a folder in which nothing can be made, such as `/proc`, the kernel answers that a folder above
 * is missing, and Node goes on for ever making the one that is there.
 *
 * @throws Error naming the first folder that cannot be made
 */
export function makeFolder(path: string): void {
  if (isFolder(path)) return;
  const parent = dirname(path);
  if (parent !== path) makeFolder(parent);
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    // Another process may have been faster.
    if (isFolder(path)) return;
    throw new Error(`${path} cannot be made: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
