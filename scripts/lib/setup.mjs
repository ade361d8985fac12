import { build } from "../build.mjs";
import { pinnedNode, pinnedPackage, pnpm, SetupError } from "./run.mjs";

/** Installs exactly what the lock file names and builds the packages. */
export async function setup() {
  if (Number(process.versions.node.split(".")[0]) < 18) {
    throw new SetupError(`Node 18 or newer is needed to begin with; this is ${process.versions.node}.`);
  }
  if (pinnedPackage === undefined) pinnedNode(); // says which Node to install, before half an hour of installing
  const { code } = await pnpm("install", "--frozen-lockfile");
  if (code !== 0) throw new SetupError(`pnpm install failed with exit code ${code}`);
  await build();
}
