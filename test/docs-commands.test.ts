import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { Place, Program } from "./e2e/cli-world.ts";

// What a reader copies from a page exists: each command, and each of its flags. Some pages' commands are run elsewhere.
const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PAGES = [
  "README.md",
  "packages/client/README.md",
  "packages/server/README.md",
  ...["docs", "docs/deploy"].flatMap((folder) =>
    readdirSync(new URL(`../${folder}`, import.meta.url)).flatMap((name) =>
      name.endsWith(".md") ? [`${folder}/${name}`] : [],
    ),
  ),
];

/** Commands that have commands of their own. */
const GROUPS: ReadonlySet<string> = new Set(["config", "requests", "token"]);

interface Line {
  readonly page: string;
  readonly text: string;
  readonly program: "ggrok" | "ggrok-relay";
  readonly command: string;
  readonly flags: readonly string[];
}

/** The command lines in the blocks of a page. */
function linesOf(page: string): Line[] {
  const text = readFileSync(new URL(page, `file://${ROOT}`), "utf8");
  const blocks = [...text.matchAll(/^```(?:sh|bash|console|)\n(.*?)^```$/gms)].map((block) => block[1] ?? "");
  return blocks.flatMap((block) =>
    block
      .replaceAll("\\\n", " ")
      .split("\n")
      .flatMap((line) => parse(page, line)),
  );
}

function parse(page: string, line: string): Line[] {
  const text = line
    .replace(/^\$ /, "")
    .replace(/\s#.*$/, "")
    .trim();
  const match = /(?:^|[\s/])(ggrok-relay|@ggrok\/server|ggrok)(?:\s+(.*))?$/.exec(
    text.replace(/^npx (?:-p \S+ )*/, ""),
  );
  // A name in somebody else's command is no command of ours.
  if (match === null || /^(?:git|docker|kubectl|fly|heroku|systemctl|npx -y pnpm@\S+) /.test(text)) return [];
  const program = match[1] === "ggrok" ? "ggrok" : "ggrok-relay";
  const words = (match[2] ?? "").split(/\s+(?=(?:[^']*'[^']*')*[^']*$)/).filter((word) => word !== "");
  // What stands behind `--` or a pipe is another program's.
  const end = words.findIndex((word) => ["--", "|", ">", "2>", "&", "&&"].includes(word));
  const own = end < 0 ? words : words.slice(0, end);
  const flags = own.flatMap((word) => /^--[a-z-]+/.exec(word)?.[0] ?? []);
  const [first = "", second = ""] = own;
  const command = GROUPS.has(first) && /^[a-z]/.test(second) ? `${first} ${second}` : first;
  return [{ page, text, program, command: /^[a-z]/.test(first) ? command : "", flags }];
}

describe("the commands of the pages", () => {
  const lines = PAGES.flatMap(linesOf);
  const helps = new Map<string, { exit: number | string; text: string }>();

  beforeAll(async () => {
    await using place = new Place();
    const wanted = new Set(lines.map(({ program, command }) => `${program} ${command}`.trim()));
    const ask = async (line: string): Promise<void> => {
      const [program = "", ...args] = [...line.split(" "), "--help"];
      await using running = program === "ggrok" ? place.ggrok(args) : Program.relay(args, place.env);
      helps.set(line, { exit: await running.exited, text: `${running.stdout}\n${running.stderr}` });
    };
    const lists = [...wanted].values();
    await Promise.all(
      Array.from({ length: 4 }, async () => {
        for (const line of lists) await ask(line);
      }),
    );
  }, 180_000);

  it("are found where this test looks for them", () => {
    const pages = new Set(lines.map(({ page }) => page));
    for (const page of ["README.md", "packages/client/README.md", "packages/server/README.md", "docs/proxy.md"]) {
      expect([...pages]).toContain(page);
    }
    expect(lines.length).toBeGreaterThan(25);
  });

  it.each(lines.map((line) => [line.page, line.text, line] as const))("%s: %s", (_page, _text, line) => {
    const help = helps.get(`${line.program} ${line.command}`.trim());
    expect(help?.exit, help?.text).toBe(0);
    // Help of a command that does not exist is the program's own.
    if (line.command !== "") expect(help?.text).toMatch(new RegExp(`^Usage: \\S+ ${line.command}\\b`, "m"));
    for (const flag of line.flags) expect(help?.text).toMatch(new RegExp(`${flag}(?![a-z-])`));
  });
});
