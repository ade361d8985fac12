import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { SETTINGS } from "../../packages/server/src/config/schema.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const PAGES = [
  ...readdirSync(join(ROOT, "docs/deploy")).map((name) => `docs/deploy/${name}`),
  "docs/security.md",
  "docs/visitors.md",
  "docs/configuration.md",
  "SECURITY.md",
  "README.md",
];
const AGENT_VARIABLES = ["GGROK_RELAY", "GGROK_AUTHTOKEN", "GGROK_CONFIG", "GGROK_LOG_LEVEL"];
const VARIABLES = new Set([
  ...Object.values(SETTINGS).flatMap(({ env }) => [...env]),
  ...AGENT_VARIABLES,
  // The relay's configuration file is named beside the settings, not among them.
  "GGROK_RELAY_CONFIG",
]);

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

describe.each(PAGES)("%s", (page) => {
  const text = read(page);

  it("leads nowhere that is not there", () => {
    const links = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)].map(([, link = ""]) => link);
    expect(links.filter((link) => !existsSync(join(ROOT, dirname(page), link)))).toEqual([]);
  });

  it("names variables and files that exist", () => {
    const variables = [...new Set(text.match(/\bGGROK_[A-Z]+(?:_[A-Z]+)*\b/g) ?? [])];
    expect(variables.filter((name) => !VARIABLES.has(name))).toEqual([]);
    const files = [...text.matchAll(/(?<![\w./(])((?:deploy|test|packages)\/[\w./-]+\.\w+)/g)].map(
      ([, file = ""]) => file,
    );
    expect(files.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
  });
});

describe("the pages of platforms", () => {
  it("are all listed on the first one", () => {
    const first = read("docs/deploy/README.md");
    const others = readdirSync(join(ROOT, "docs/deploy")).filter((name) => name !== "README.md");
    expect(others.filter((name) => !first.includes(`(${name})`))).toEqual([]);
  });
});
