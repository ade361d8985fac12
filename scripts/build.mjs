// Types and the protocol's JavaScript come from tsc; the two published packages are bundled by esbuild from source.
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { main, nodeOrThrow, root, tool } from "./lib/run.mjs";

/** Builds all packages. */
export async function build() {
  await nodeOrThrow("tsc", [tool.tsc, "-b", "packages/protocol", "packages/server", "packages/client"]);
  const { bundleClient, bundleServer } = await import("./lib/bundle.mjs");
  const { copyDeclarations } = await import("./lib/declarations.mjs");
  for (const name of ["server", "client"]) {
    await rm(join(root, "packages", name, "dist"), { recursive: true, force: true });
  }
  await Promise.all([bundleClient(), bundleServer()]);
  // The relay has zod among its dependencies; the agent has none, so its types must do without (ADR 3).
  await copyDeclarations("server", { allow: ["zod", "fastify", "pino", "ws", "prom-client"] });
  await copyDeclarations("client", { allow: [] });
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await main(async () => {
    await build();
    return 0;
  });
}
