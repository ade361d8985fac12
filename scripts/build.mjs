// Types and the protocol's JavaScript come from tsc; the two published packages and the inspector's page are bundled by
// esbuild from source.
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { isBuilt, noteBuilt, sourcesOfBuild } from "./lib/build-stamp.mjs";
import { main, nodeOrThrow, root, tool } from "./lib/run.mjs";

const PUBLISHED = ["server", "client"];

/** Where a package is built before it takes the place of the last build. */
const outputOf = (name) => join(root, "packages", name, "build", "dist");

/** Builds all packages, unless the last build was of the same sources. */
export async function buildIfChanged() {
  if (!(await isBuilt(await sourcesOfBuild()))) await build();
}

/** Builds all packages. */
async function build() {
  const sources = await sourcesOfBuild();
  await nodeOrThrow("tsc", [tool.tsc, "-b", "packages/protocol", "packages/server", "packages/client"]);
  const { bundleClient, bundleServer, endBundler } = await import("./lib/bundle.mjs");
  const { buildPage } = await import("./lib/page.mjs");
  const { copyDeclarations } = await import("./lib/declarations.mjs");
  for (const name of PUBLISHED) await rm(outputOf(name), { recursive: true, force: true });
  try {
    // The agent carries the page, so the page comes first.
    const page = await buildPage();
    await Promise.all([bundleClient(outputOf("client"), page), bundleServer(outputOf("server"))]);
  } finally {
    await endBundler();
  }
  // The relay has zod among its dependencies; the agent has none, so its types must do without (ADR 3).
  await copyDeclarations("server", outputOf("server"), ["zod", "fastify", "pino", "ws", "prom-client"]);
  await copyDeclarations("client", outputOf("client"), []);
  for (const name of PUBLISHED) {
    // At the very end and in one step: a build that fails leaves the last good one, and running programs hardly notice.
    const dist = join(root, "packages", name, "dist");
    await rm(dist, { recursive: true, force: true });
    await rename(outputOf(name), dist);
  }
  await noteBuilt(sources);
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await main(async () => {
    await build();
    return 0;
  });
}
