// Copies the declarations that a package's index.d.ts reaches from build/ to dist/, the protocol's among them, since
// the protocol is bundled and not published. A declaration that needs a package the user will not have is an error here.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, posix } from "node:path";
import { root, SetupError } from "./run.mjs";

const PROTOCOL = "@ggrok/protocol";
/** One alternative each: a comment, a named import of the protocol, an inline one, any other specifier. */
const IMPORTS = new RegExp(
  [
    String.raw`\/\*[\s\S]*?\*\/`,
    String.raw`^(?<keyword>import|export)\s+(?<type>type\s+)?\{(?<list>[^}]*)\}\s*from\s*["']@ggrok\/protocol["'];?`,
    String.raw`\bimport\(["']@ggrok\/protocol["']\)\.(?<inline>\w+)`,
    String.raw`(?<before>\bfrom\s*|\bimport\s*\(\s*|^import\s+)["'](?<specifier>[^"']+)["']`,
  ].join("|"),
  "gm",
);

/**
 * @param name folder of the package
 * @param dist where the declarations go
 * @param allow packages its users do have, so its declarations may import them
 */
export async function copyDeclarations(name, dist, allow) {
  const builds = {
    own: join(root, "packages", name, "build"),
    protocol: join(root, "packages", "protocol", "build"),
  };
  const homes = await protocolHomes(builds.protocol);
  const done = new Set();
  const queue = [{ side: "own", path: "index.d.ts", from: "package.json" }];
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const { side, path, from } = next;
    const target = targetOf(side, path);
    if (done.has(target)) continue;
    done.add(target);

    const link = (toSide, toPath) => {
      queue.push({ side: toSide, path: toPath, from: target });
      const to = posix.relative(posix.dirname(target), targetOf(toSide, toPath)).replace(/\.d\.ts$/, ".js");
      return to.startsWith(".") ? to : `./${to}`;
    };
    const rewrite = (whole, groups) => {
      const { keyword, type = "", list, inline, before, specifier } = groups;
      if (list !== undefined) {
        return splitByHome(list, homes, target)
          .map(([home, entries]) => `${keyword} ${type}{ ${entries.join(", ")} } from "${link("protocol", home)}";`)
          .join("\n");
      }
      if (inline !== undefined) {
        const [[home, [entry]]] = splitByHome(inline, homes, target);
        return `import("${link("protocol", home)}").${entry.split(" ")[0]}`;
      }
      if (specifier === undefined || specifier.startsWith("node:")) return whole;
      if (specifier.startsWith("./") || specifier.startsWith("../")) {
        const resolved = posix.normalize(posix.join(posix.dirname(path), specifier));
        return `${before}"${link(side, resolved.replace(/\.(ts|js)$/, ".d.ts"))}"`;
      }
      if (allow.some((ok) => specifier === ok || specifier.startsWith(`${ok}/`))) return whole;
      throw new SetupError(
        `The public types of packages/${name} reach "${specifier}" in ${target} (imported by ${from}): its users do not have that package. Keep the type out of what index.ts exports.`,
      );
    };

    const text = await readFile(join(builds[side], path), "utf8").catch((cause) => {
      throw new SetupError(`${from} imports ${target}, which was not built: ${cause.message}`);
    });
    await mkdir(dirname(join(dist, target)), { recursive: true });
    await writeFile(
      join(dist, target),
      text
        .replace(/^\/\/# sourceMappingURL=.*$/m, "")
        .replace(IMPORTS, (whole, ...rest) => rewrite(whole, rest.at(-1))),
    );
  }
}

function targetOf(side, path) {
  return side === "protocol" ? `protocol/${path}` : path;
}

/** Which file of the protocol declares each name that its index.ts hands on. */
async function protocolHomes(folder) {
  const text = await readFile(join(folder, "index.d.ts"), "utf8");
  const homes = new Map();
  for (const [, list, specifier] of text.matchAll(/export\s+(?:type\s+)?\{([^}]*)\}\s*from\s*["']\.\/([^"']+)["']/g)) {
    for (const name of names(list)) homes.set(name.exported, { path: specifier.replace(/\.(ts|js)$/, ".d.ts"), name });
  }
  return homes;
}

function names(list) {
  return list
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "")
    .map((entry) => {
      const [local, exported = local] = entry.replace(/^type\s+/, "").split(/\s+as\s+/);
      return { local, exported };
    });
}

function splitByHome(list, homes, key) {
  const groups = new Map();
  for (const { local, exported } of names(list)) {
    const home = homes.get(local);
    if (home === undefined) throw new SetupError(`${key} imports ${local}, which ${PROTOCOL} does not export by name`);
    const entry = home.name.local === exported ? exported : `${home.name.local} as ${exported}`;
    groups.set(home.path, [...(groups.get(home.path) ?? []), entry]);
  }
  return [...groups];
}
