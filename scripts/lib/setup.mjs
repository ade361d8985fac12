import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildIfChanged } from "../build.mjs";
import { pinnedNode, pinnedPackage, pnpm, root, SetupError } from "./run.mjs";

/** Installs exactly what the lock file names and builds the packages; quick where nothing has changed since. */
export async function setup() {
  if (Number(process.versions.node.split(".")[0]) < 18) {
    throw new SetupError(`Node 18 or newer is needed to begin with; this is ${process.versions.node}.`);
  }
  if (pinnedPackage === undefined) pinnedNode(); // says which Node to install, before half an hour of installing
  const { code } = await pnpm("install", "--frozen-lockfile");
  if (code !== 0) throw new SetupError(`pnpm install failed with exit code ${code}`);
  if (pinnedPackage !== undefined && process.platform !== "win32") await becomeNode();
  await buildIfChanged();
}

/**
 * pnpm starts a binary as the child of a shell that no signal gets through: `kill` would end the shell and leave the
 * relay running. The shell has to become Node. A new file, since the old one may be running.
 */
async function becomeNode() {
  const shim = join(root, "node_modules", ".bin", "node");
  const script = await readFile(shim, "utf8");
  const changed = script.replace(/^("\$basedir\/[^"]+" +"\$@")\nexit \$\?$/m, "exec $1");
  if (changed === script) return;
  await writeFile(`${shim}.new`, changed, { mode: 0o755 });
  await rename(`${shim}.new`, shim);
}
