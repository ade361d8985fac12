import { readFile } from "node:fs/promises";

/** The page's files by name, as `scripts/lib/page.mjs` makes them. */
export type PageFiles = Readonly<Record<"index.html" | "page.js" | "page.css", string>>;

const FOLDER = new URL("../../../inspector/dist/", import.meta.url);

/**
 * The built page. This reads it from its package, for an agent that is run from its sources; in the bundle another module
 * stands in this one's place, which has the files in it. Undefined: it has not been built.
 */
export async function readBuiltPage(): Promise<PageFiles | undefined> {
  const read = (name: string): Promise<string> => readFile(new URL(name, FOLDER), "utf8");
  try {
    const [index, script, style] = await Promise.all([read("index.html"), read("page.js"), read("page.css")]);
    return { "index.html": index, "page.js": script, "page.css": style };
  } catch {
    return undefined;
  }
}
