import { totalmem } from "node:os";

/** Memory this process may use, in bytes: the container's limit where there is one. */
export function processMemoryBytes(): number {
  const limit = process.constrainedMemory();
  return limit > 0 && limit < totalmem() ? limit : totalmem();
}
