import { readFile } from "node:fs/promises";

/** One row of a table of the documentation, by the titles of its columns; backticks are taken off. */
export type DocRow = Readonly<Record<string, string | undefined>>;

/** Reads a page of `docs/` into the rows of all tables below each heading of the second level. */
export async function readSections(page: string): Promise<Map<string, DocRow[]>> {
  const text = await readFile(new URL(`../../docs/${page}`, import.meta.url), "utf8");
  const sections = new Map<string, DocRow[]>();
  for (const part of text.split(/^## /m).slice(1)) {
    const end = part.indexOf("\n");
    sections.set(part.slice(0, end).trim(), readTables(part.slice(end)));
  }
  return sections;
}

/** The rows of one section; throws when the page has none of that name. */
export function sectionRows(sections: ReadonlyMap<string, readonly DocRow[]>, heading: string): readonly DocRow[] {
  const rows = sections.get(heading);
  if (rows === undefined) throw new Error(`no section "${heading}"; there are ${[...sections.keys()].join(", ")}`);
  return rows;
}

/** A number as the pages write it: `65,536`. */
export function numberOf(text: string | undefined): number {
  return Number((text ?? "").replaceAll(",", ""));
}

function readTables(text: string): DocRow[] {
  const rows: DocRow[] = [];
  let titles: string[] | undefined;
  for (const line of text.split("\n")) {
    if (!line.trimStart().startsWith("|")) titles = undefined;
    else if (titles === undefined) titles = cellsOf(line);
    else if (!/^[\s|:-]+$/.test(line)) {
      const cells = cellsOf(line);
      rows.push(Object.fromEntries(titles.map((title, i) => [title, cells[i] ?? ""])));
    }
  }
  return rows;
}

function cellsOf(line: string): string[] {
  return line
    .trim()
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => cell.trim().replaceAll("`", ""));
}
