// The gate: every step runs, even after one has failed, so that one round shows all there is to mend.
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { main, node, pnpm, tool } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";

const steps = [
  ["format and lint", () => node([tool.biome, "ci", "--error-on-warnings", "."])],
  ["types", () => node([tool.tsc, "-b"])],
  ["architecture", () => node([tool.vitest, "run", "--project", "whole", "test/architecture.test.ts"])],
  ["unused code", () => node([tool.knip])],
  ["packages", checkPackages],
];

/** What would be published, as a stranger's tools see it: publint and attw on the packed files. */
async function checkPackages() {
  const folder = await mkdtemp(join(tmpdir(), "ggrok-pack-"));
  try {
    let code = 0;
    for (const name of ["ggrok", "@ggrok/server"]) {
      code ||= (await pnpm("--filter", name, "pack", "--pack-destination", folder)).code;
    }
    const tarballs = (await readdir(folder)).filter((file) => file.endsWith(".tgz"));
    if (tarballs.length !== 2) return { code: 1 };
    for (const tarball of tarballs) {
      code ||= (await node([tool.publint, "run", join(folder, tarball), "--strict"])).code;
      code ||= (await node([tool.attw, join(folder, tarball), "--profile", "esm-only"])).code;
    }
    return { code };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

await main(async () => {
  await setup();
  const failed = [];
  for (const [name, step] of steps) {
    console.log(`\n── ${name}`);
    const { code } = await step();
    if (code !== 0) failed.push(name);
  }
  console.log(failed.length === 0 ? "\nAll checks passed." : `\nFailed: ${failed.join(", ")}`);
  return failed.length === 0 ? 0 : 1;
});
