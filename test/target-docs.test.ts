import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Io } from "../packages/client/src/cli/io.ts";
import { runProgram } from "../packages/client/src/cli/program.ts";
import { freePort } from "./e2e/cli-world.ts";

const page = (name: string): string => readFileSync(new URL(`../docs/${name}`, import.meta.url), "utf8");
const PAGES = ["targets.md", "dev-servers.md"];

/** The commands in the `sh` blocks of a page. */
function commandsOf(name: string): string[] {
  return [...page(name).matchAll(/^```sh\n(.*?)^```$/gms)].flatMap(([, block = ""]) =>
    block.split("\n").filter(Boolean),
  );
}

/** A command line as a shell would split it; single quotes are all the pages use. */
function split(command: string): string[] {
  return [...command.matchAll(/'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2] ?? "");
}

let folder: string;
let relay: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ggrok-docs-"));
  relay = `http://127.0.0.1:${await freePort()}`;
  copyFileSync(new URL("e2e/fixtures/upstream-cert.pem", import.meta.url), join(folder, "company-ca.pem"));
  const file = /^```yaml\n(# ggrok\.yml\n.*?)^```$/ms.exec(page("targets.md"))?.[1] ?? "";
  writeFileSync(join(folder, "ggrok.yml"), file);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a command line in this process, with a relay that is not there. */
async function run(argv: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const env = {
    HOME: folder,
    XDG_CONFIG_HOME: join(folder, "config"),
    XDG_STATE_HOME: join(folder, "state"),
    GGROK_RELAY: relay,
    VISITOR_LOGIN: "ann:s3cret",
    STRIPE_SECRET: "whsec_docs",
  };
  const io = { stdin, stdout, stderr, env, cwd: folder, stop: new AbortController().signal, onHangup: () => () => {} };
  const code = await runProgram(argv, io as unknown as Io);
  return { code, stdout: String(stdout.read() ?? ""), stderr: String(stderr.read() ?? "") };
}

it.each(PAGES.flatMap((name) => commandsOf(name).map((command) => [name, command] as const)))(
  "%s: %s is understood, and goes as far as the relay",
  async (_name, command) => {
    const [program, name = "", ...rest] = split(command);
    expect(program).toBe("ggrok");
    const { code, stdout, stderr } = await run([name, "--no-retry", "--web-addr", "false", ...rest]);
    expect(stderr).toContain("ECONNREFUSED");
    expect([code, stdout]).toEqual([6, ""]);
  },
);

it("agent.md has every option of ggrok http and of ggrok start", async () => {
  const documented = page("agent.md");
  for (const command of ["http", "start"]) {
    const { code, stdout } = await run([command, "--help"]);
    expect(code).toBe(0);
    const options = [...stdout.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map((match) => match[1] ?? "");
    expect(options.length).toBeGreaterThan(10);
    expect(options.filter((option) => option !== "--help" && !documented.includes(`\`${option}`))).toEqual([]);
  }
});
