import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { readSections, sectionRows } from "./harness/doc-tables.ts";

/** The text of a test file as the page names it: below `test/`, or beside the code. */
function readTest(file: string): Promise<string> {
  return readFile(new URL(file.startsWith("packages/") ? `../${file}` : file, import.meta.url), "utf8");
}

describe("docs/hardening.md", async () => {
  const sections = await readSections("hardening.md");
  const limitSection = "Where each limit is reached";
  const limits = sectionRows(sections, limitSection);

  it("names tests that exist for every family", async () => {
    const families = [...sections].filter(([name]) => name !== limitSection).flatMap(([, rows]) => rows);
    expect(families.length).toBeGreaterThan(50);
    for (const row of families) {
      expect(row["what happens"], row["family"]).toMatch(/./u);
      expect((await readTest(row["test"] ?? "")).length, row["family"]).toBeGreaterThan(0);
    }
  });

  it("names a test that exists for every limit of the wire and of the relay, and for no other", async () => {
    const pages = await readSections("limits.md");
    const known = ["On the wire", "Relay"].flatMap((section) => sectionRows(pages, section)).map((row) => row["name"]);
    expect(limits.map((row) => row["limit"]).sort()).toEqual(known.sort());
    for (const { limit, file = "", test = "" } of limits) {
      expect(test, limit).not.toBe("");
      expect((await readTest(file)).includes(test), `${String(limit)}: "${test}" in ${file}`).toBe(true);
    }
  });
});
