import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { root } from "./run.mjs";

/** What a build leaves; it lies where an installation from scratch removes it. */
const STAMP = join(root, "node_modules", ".ggrok-build");
/** What an installation or a build makes. */
const OUTPUT = /^packages\/[^/]+\/(node_modules|dist|build)$|\.tsbuildinfo$/;
const FIRST_FILES = ["package.json", "pnpm-lock.yaml", "tsconfig.base.json", "LICENSE"];
const RESULTS = ["protocol/build", "server/dist/bin.js", "client/dist/ggrok.js"];

/** The sources as one word: another one after any change to them. */
export async function sourcesOfBuild() {
  const hash = createHash("sha256");
  for (const file of [...FIRST_FILES, ...(await filesBelow("packages")), ...(await filesBelow("scripts"))]) {
    const path = join(root, file);
    hash.update(`${file}\0`);
    hash.update(existsSync(path) ? await readFile(path) : "");
    hash.update("\0");
  }
  return hash.digest("hex");
}

/** Whether what is there was built from these sources. */
export async function isBuilt(sources) {
  if (!RESULTS.every((path) => existsSync(join(root, "packages", path)))) return false;
  return (await readFile(STAMP, "utf8").catch(() => "")) === sources;
}

/** Notes that the build of these sources is done. */
export async function noteBuilt(sources) {
  await writeFile(STAMP, sources);
}

async function filesBelow(folder) {
  const entries = await readdir(join(root, folder), { withFileTypes: true });
  const files = [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = `${folder}/${entry.name}`;
    if (OUTPUT.test(path)) continue;
    if (entry.isDirectory()) files.push(...(await filesBelow(path)));
    else if (entry.isFile()) files.push(path);
  }
  return files;
}
