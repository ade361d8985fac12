import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import { build, stop } from "esbuild";
import { carriedPage } from "./page.mjs";
import { root } from "./run.mjs";

const shared = {
  absWorkingDir: root,
  bundle: true,
  platform: "node",
  format: "esm",
  conditions: ["ggrok-source"],
  legalComments: "none",
  logLevel: "warning",
  metafile: true,
  // CommonJS dependencies call require; an ES module has none of its own.
  banner: {
    js: 'import { createRequire as __createRequire } from "node:module";\nconst require = __createRequire(import.meta.url);',
  },
};

/**
 * Leaves out what the agent cannot reach but a bundler cannot see to be unused: undici beside its connection (fetch,
 * caches, mocks: evaluated on import), and zod's error texts in languages other than English. Together two thirds of the
 * bundle. Whoever imports more of undici gets an error from the build, and adds it here.
 */
const lean = {
  name: "lean",
  setup({ onLoad }) {
    onLoad({ filter: /node_modules[\\/]undici[\\/]index\.js$/ }, () => ({
      contents: `export { default as Client } from "./lib/dispatcher/client.js";`,
      resolveDir: join(root, "packages", "client", "node_modules", "undici"),
    }));
    onLoad({ filter: /[\\/]zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, ({ path }) => ({
      contents: `export { default as en } from "./en.js";`,
      resolveDir: dirname(path),
    }));
  },
};

/**
 * Takes Node's own modules where they are first needed. An `import` of one evaluates everything it exports, for node:http
 * its WebSocket and with that a whole HTTP client: more than the rest of the agent's start.
 */
const builtins = {
  name: "builtins",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path }) => ({ path, namespace: "builtin" }));
    onLoad({ filter: /.*/, namespace: "builtin" }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
    }));
  },
};

/**
 * The agent: one file with everything in it, the library's exports and `run` for the command line (ADR 3).
 * It carries the inspector's page, whose parts are those of the other bundle.
 * `run` reaches the command line by a dynamic import, so that who uses the library alone does not evaluate it.
 */
export async function bundleClient(dist, page) {
  const source = join(root, "packages", "client", "src");
  const { metafile } = await build({
    ...shared,
    target: "node22.19",
    stdin: {
      contents: `export * from "./index.ts";\nexport async function run() { await import("./bin.ts"); }\n`,
      resolveDir: source,
      loader: "ts",
    },
    outfile: join(dist, "ggrok.js"),
    minify: true,
    plugins: [lean, builtins, carriedPage],
    // Optional natives of ws, looked up at run time when they are there.
    external: ["bufferutil", "utf-8-validate"],
  });
  await writeFile(join(dist, "licenses.txt"), await licenses([metafile, page]));
}

/** The relay: its own sources and the protocol's; everything else is an ordinary dependency. */
export async function bundleServer(dist) {
  const folder = join(root, "packages", "server");
  const { dependencies, optionalDependencies } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  await build({
    ...shared,
    banner: {},
    target: "node24",
    entryPoints: [join(folder, "src", "index.ts"), join(folder, "src", "bin.ts")],
    outdir: dist,
    splitting: true,
    chunkNames: "chunk-[hash]",
    external: [...Object.keys(dependencies), ...Object.keys(optionalDependencies)],
  });
}

/** Ends esbuild's own process, which would otherwise stay beside whatever is started after the build. */
export async function endBundler() {
  await stop();
}

/** The licence texts of everything bundled, as MIT and ISC ask for. */
async function licenses(metafiles) {
  const folders = new Set();
  for (const input of metafiles.flatMap(({ inputs }) => Object.keys(inputs))) {
    const match = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input.split(sep).join("/"));
    if (match?.[1] !== undefined) folders.add(match[1]);
  }
  const texts = [];
  for (const folder of [...folders].sort()) {
    const { name, version, license } = JSON.parse(await readFile(join(root, folder, "package.json"), "utf8"));
    const file = ["LICENSE", "LICENSE.md", "LICENSE.txt", "license", "LICENCE"]
      .map((base) => join(root, folder, base))
      .find((path) => existsSync(path));
    const text = file === undefined ? "" : await readFile(file, "utf8");
    texts.push(`${name} ${version} (${license})\n\n${text.trim()}\n`);
  }
  return texts.join(`\n${"-".repeat(72)}\n\n`);
}
