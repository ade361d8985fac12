import { copyFile, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { root, SetupError } from "./run.mjs";

/** Where the page's files are built, for the agent run from its sources and for its bundle. */
const pageFolder = join(root, "packages", "inspector", "dist");
const FILES = ["index.html", "page.css", "page.js"];
/** What the page may cost, compressed. */
const PAGE_GZIP_BYTES_MAX = 80_000;

/** Builds the inspector's page: one script, one style sheet, one document. @returns what went into it, as esbuild tells */
export async function buildPage() {
  const source = join(root, "packages", "inspector");
  await rm(pageFolder, { recursive: true, force: true });
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: ["main.tsx", "page.css"].map((name) => ({ in: join(source, "src", name), out: "page" })),
    outdir: pageFolder,
    bundle: true,
    platform: "browser",
    format: "esm",
    // What `light-dark()`, `JSON.parse` with sources and `Set` methods need anyway.
    target: ["chrome123", "firefox135", "safari18.4"],
    jsx: "automatic",
    jsxImportSource: "preact",
    minify: true,
    legalComments: "none",
    logLevel: "warning",
    metafile: true,
  });
  await copyFile(join(source, "index.html"), join(pageFolder, "index.html"));
  let bytes = 0;
  for (const name of FILES) bytes += gzipSync(await readFile(join(pageFolder, name))).length;
  if (bytes > PAGE_GZIP_BYTES_MAX) {
    throw new SetupError(`The inspector's page has ${bytes} bytes compressed; it may have ${PAGE_GZIP_BYTES_MAX}.`);
  }
  return metafile;
}

/** Puts the built page in the place of the module that reads it from its folder. */
export const carriedPage = {
  name: "carried-page",
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]inspector[\\/]built-page\.ts$/ }, async () => {
      const entries = await Promise.all(
        FILES.map(async (name) => [name, await readFile(join(pageFolder, name), "utf8")]),
      );
      const files = JSON.stringify(Object.fromEntries(entries));
      return {
        contents: `const files = ${files};\nexport async function readBuiltPage() { return files; }`,
        loader: "js",
      };
    });
  },
};
