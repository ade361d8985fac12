import { readdir, readFile } from "node:fs/promises";
import { dirname, posix, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const packages = fileURLToPath(new URL("../packages/", import.meta.url));

/** Which workspace packages the sources of each package may import. Anything else may import any. */
const PACKAGE_EDGES: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  server: ["@ggrok/protocol"],
  client: ["@ggrok/protocol"],
  // The page meets the agent over HTTP alone.
  inspector: [],
};

/**
 * Rows from the bottom up: a file imports from rows before its own, and from its own part. A part is a folder of `src/`
 * (`config/`) or one file. Parts that share a row never import each other.
 */
const LAYERS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  protocol: [["errors.ts", "limits.ts", "version.ts"], ["message/"], ["wire/"], ["transport/"], ["mux/"], ["index.ts"]],
  server: [
    ["errors.ts", "limits.ts"],
    // Host parsing is pure, and the one part of the listener that others need: registry, ingress and admin read hosts too.
    ["observability/", "limits/", "version.ts", "listener/host.ts"],
    ["config/", "store/"],
    // Whom a tunnel lets in: rules and what is remembered of visitors, without a socket.
    // And what happens to a connection before a request is read from it: who is there, encryption.
    ["gate/", "connection/"],
    ["registry/"],
    ["auth/", "cluster/"],
    // The listener takes its handlers as arguments, so it knows none of the others.
    ["control/", "ingress/", "admin/", "inbox/", "listener/"],
    // Joins rooms that do not know each other.
    ["relay/"],
    ["relay.ts"],
    ["cli/"],
    ["create-relay.ts", "cli.ts"],
    ["index.ts"],
    ["bin.ts"],
  ],
  client: [
    ["errors.ts", "join.ts", "stream-duplex.ts", "types.ts", "version.ts"],
    ["config/"],
    // Also how the agent gets to the relay through someone else's proxy.
    ["proxy/"],
    ["forward/"],
    // Signatures are judged before the app gets anything.
    ["webhook/"],
    ["inspector/", "agent/"],
    // The other side of TCP tunnels; it dials as the agent does.
    ["connect/"],
    ["running-tunnel.ts"],
    ["compose.ts", "doctor/"],
    ["inspected-agent.ts"],
    ["library/"],
    ["index.ts"],
    ["cli/"],
    ["bin.ts"],
  ],
  inspector: [["core/"], ["state/"], ["view/"], ["main.tsx"]],
};

/** The protocol moves bytes over a transport that is handed in. */
const IO_MODULES = /^node:(net|tls|http|https|http2|dgram|fs|child_process|readline)\b/;

type Import = { readonly file: string; readonly specifier: string };

/** A specifier behind `from`, `import` or `import(`, at the start of a statement or of a call; comments are cut first. */
const SPECIFIER =
  /(?:^|[;{}\s])(?:import|export)\b[^;"'()]*?\bfrom\s*["']([^"']+)["']|^\s*import\s*["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']/gm;

async function importsOf(name: string): Promise<Import[]> {
  const source = `${packages}${name}/src/`;
  const entries = await readdir(source, { recursive: true, withFileTypes: true });
  const files = entries
    .filter(
      (entry) =>
        entry.isFile() && /\.tsx?$/.test(entry.name) && !/\.(test|testing|contract|test-d)\.ts$/.test(entry.name),
    )
    .map((entry) => relative(source, `${entry.parentPath}/${entry.name}`).replaceAll("\\", "/"));
  const found: Import[] = [];
  for (const file of files) {
    const text = await readFile(source + file, "utf8");
    for (const specifier of specifiersOf(text)) found.push({ file, specifier });
  }
  return found;
}

function specifiersOf(text: string): string[] {
  const code = text.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/^\s*\/\/.*$/gm, "");
  return [...code.matchAll(SPECIFIER)].map((match) => match[1] ?? match[2] ?? match[3] ?? "");
}

/** The part of a package that a file belongs to: itself where the layers name it, else its first folder. */
function partOf(name: string, file: string): string {
  const isNamed = LAYERS[name]?.some((row) => row.includes(file)) ?? false;
  return isNamed || !file.includes("/") ? file : file.slice(0, file.indexOf("/") + 1);
}

function rowOf(name: string, part: string): number {
  return LAYERS[name]?.findIndex((row) => row.includes(part)) ?? -1;
}

/** Every edge between parts of one package, its two files resolved. */
async function innerEdges(name: string): Promise<{ file: string; target: string }[]> {
  return (await importsOf(name))
    .filter(({ specifier }) => specifier.startsWith("."))
    .map(({ file, specifier }) => ({ file, target: posix.normalize(posix.join(dirname(file), specifier)) }));
}

describe("the import reader", () => {
  it("finds every form of import and leaves comments alone", () => {
    const text = [
      'import { a } from "./a.ts";',
      'import type { B } from "./b.ts";',
      'import {\n  c,\n  d,\n} from "./c.ts";',
      'export { e } from "./e.ts";',
      'import "./f.ts";',
      'const g = await import("./g.ts");',
      '// import { no } from "./no.ts";',
      '/** @example import { no } from "./no.ts"; */',
    ].join("\n");
    expect(specifiersOf(text)).toEqual(["./a.ts", "./b.ts", "./c.ts", "./e.ts", "./f.ts", "./g.ts"]);
  });
});

describe.each(Object.keys(PACKAGE_EDGES))("packages/%s", (name) => {
  it("imports no workspace package but those below it", async () => {
    const wrong = (await importsOf(name))
      .filter(
        ({ specifier }) => specifier === "ggrok" || specifier.startsWith("@ggrok/") || specifier.startsWith("ggrok/"),
      )
      .filter(({ specifier }) => !PACKAGE_EDGES[name]?.includes(specifier))
      .map(({ file, specifier }) => `${name}/src/${file} imports ${specifier}`);
    expect(wrong).toEqual([]);
  });

  it("stays inside its own src folder with relative imports, by the real file's name", async () => {
    const edges = await innerEdges(name);
    expect(edges.length).toBeGreaterThan(0);
    const wrong = edges
      .filter(({ target }) => target.startsWith("..") || !/\.tsx?$/.test(target))
      .map(({ file, target }) => `${name}/src/${file} imports ${target}`);
    expect(wrong).toEqual([]);
  });

  it("has a place in the layers for every file", async () => {
    const parts = new Set((await importsOf(name)).map(({ file }) => partOf(name, file)));
    expect([...parts].filter((part) => rowOf(name, part) === -1)).toEqual([]);
  });

  it("imports only from layers below", async () => {
    const wrong = (await innerEdges(name))
      .filter(({ file, target }) => partOf(name, file) !== partOf(name, target))
      .filter(({ file, target }) => rowOf(name, partOf(name, target)) >= rowOf(name, partOf(name, file)))
      .map(({ file, target }) => `${name}/src/${file} imports ${target}`);
    expect(wrong).toEqual([]);
  });
});

it("keeps sockets and files out of the protocol", async () => {
  const wrong = (await importsOf("protocol"))
    .filter(({ specifier }) => IO_MODULES.test(specifier))
    .map(({ file, specifier }) => `protocol/src/${file} imports ${specifier}`);
  expect(wrong).toEqual([]);
});

it("names modules of Node with node:", async () => {
  const bare =
    /^(assert|buffer|child_process|crypto|dns|events|fs|http|https|net|os|path|stream|tls|url|util|zlib)(\/|$)/;
  const all = await Promise.all(Object.keys(PACKAGE_EDGES).map(importsOf));
  expect(all.flat().filter(({ specifier }) => bare.test(specifier))).toEqual([]);
});
