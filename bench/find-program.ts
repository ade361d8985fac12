import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Full path of a program, or `undefined`. Debian keeps sshd and nginx where a user's PATH does not look. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"];
  for (const folder of folders) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {}
  }
  return undefined;
}
