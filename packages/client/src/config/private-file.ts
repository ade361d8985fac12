import { randomBytes } from "node:crypto";
import { chmodSync, closeSync, fsyncSync, openSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { makePrivateFolder } from "./private-folder.ts";
import { configError } from "./values.ts";

/**
 * Writes a file that only its owner can read, whole or not at all: a new file beside it takes its place, so a reader
 * never sees half a token and another program's open handle keeps the old one.
 */
export function writePrivateFile(path: string, content: string): void {
  const dir = dirname(path);
  makePrivateFolder(dir);
  const temporary = `${path}.${randomBytes(6).toString("hex")}`;
  const handle = openSync(temporary, "wx", 0o600);
  try {
    writeSync(handle, content);
    fsyncSync(handle);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  } finally {
    closeSync(handle);
  }
  renameSync(temporary, path);
  // A umask only takes bits away, so the mode is right already; a network file system may have ignored it.
  chmodSync(path, 0o600);
}

/**
 * Looks at who else could read or change a file that holds secrets. Returns warnings; throws where someone else could
 * have put the file there, since what it says (a relay, a token) would be theirs.
 */
export function inspectPrivateFile(path: string, holdsSecret: boolean): string[] {
  if (process.platform === "win32" || process.getuid === undefined) return [];
  const uid = process.getuid();
  const file = statSync(path, { throwIfNoEntry: false });
  if (file === undefined) return [];
  const folder = statSync(dirname(path));
  // Root may read a file mounted into its container, whoever owns it there.
  if (uid !== 0 && file.uid !== uid && file.uid !== 0)
    throw configError(`${path} belongs to another user: refusing to use it`);
  if ((file.mode & 0o002) !== 0)
    throw configError(`${path} can be changed by every user of this machine: chmod 600 ${path}`);
  const isSticky = (folder.mode & 0o1000) !== 0;
  if ((folder.mode & 0o002) !== 0 && !isSticky) {
    throw configError(`${dirname(path)} can be changed by every user of this machine: chmod 700 ${dirname(path)}`);
  }
  if (holdsSecret && (file.mode & 0o077) !== 0)
    return [`${path} holds a token and others can read it: chmod 600 ${path}`];
  return [];
}
