import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Place } from "../e2e/cli-world.ts";

const exec = promisify(execFile);
const CLIENT = fileURLToPath(new URL("../../packages/client/src/bin.ts", import.meta.url));

let place: Place;
beforeAll(() => {
  place = new Place();
  const node = `"${process.execPath}" --conditions=ggrok-source --disable-warning=ExperimentalWarning`;
  writeFileSync(join(place.folder, "ggrok"), `#!/bin/sh\nexec ${node} "${CLIENT}" "$@"\n`, { mode: 0o755 });
  mkdirSync(dirname(place.configPath), { recursive: true });
  const endpoints = ["shop", "shelf", "db"].map((name) => `  - { name: ${name}, upstream: { url: 3000 } }\n`);
  writeFileSync(place.configPath, `version: 3\nendpoints:\n${endpoints.join("")}`, { mode: 0o600 });
});
afterAll(() => place[Symbol.asyncDispose]());

/** Runs a shell with `ggrok` on its path, and gives what it prints. */
async function shell(program: string, args: readonly string[]): Promise<string> {
  const PATH = `${place.folder}${delimiter}${process.env["PATH"]}`;
  const { stdout } = await exec(program, args, { env: { ...place.env, PATH, TERM: "xterm" }, timeout: 30_000 });
  return stdout;
}

/** What stands for `words` in each line of a command, the last of them being typed. */
type Ask = (lines: readonly string[][]) => Promise<string[][]>;

const bash: Ask = async (lines) => {
  const asks = lines.map((words) => {
    const line = words.join(" ");
    return `COMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}; COMP_LINE='${line}'; COMP_POINT=${line.length}
      __ggrok_complete 2>/dev/null; echo "\${COMPREPLY[*]}"`;
  });
  const script = `source /usr/share/bash-completion/bash_completion; source <(ggrok completion bash)\n${asks.join("\n")}`;
  const answers = (await shell("bash", ["-c", script])).trim().split("\n");
  return answers.map((answer) => answer.split(" ").sort());
};

const fish: Ask = async (lines) => {
  const asks = lines.map((words) => `complete -C '${words.join(" ")}'; echo .`);
  const script = `ggrok completion fish | source; ${asks.join("; ")}`;
  const answers = (await shell("fish", ["-c", script])).split("\n.\n").slice(0, -1);
  const nameOf = (line: string): string => line.split("\t", 1)[0] ?? "";
  return answers.map((answer) => answer.split("\n").map(nameOf).sort());
};

it.each([
  ["bash", bash],
  ["fish", fish],
])("completes commands, options, their values, and the names of endpoints in %s", async (_name, complete) => {
  const lines = ["config i", "http --host-h", "http --host-header p", "start sh"];
  expect(await complete(lines.map((line) => ["ggrok", ...line.split(" ")]))).toEqual([
    ["import"],
    ["--host-header"],
    ["preserve"],
    ["shelf", "shop"],
  ]);
});

it("completes in zsh, at its own prompt", async () => {
  const script = `
    zmodload zsh/zpty
    zpty z zsh -f -i
    zpty -w z 'PS1= PROMPT_EOL_MARK=; stty -echo; bindkey -e; autoload -U compinit; compinit -u -D; source <(ggrok completion zsh); echo rea""dy'
    while zpty -r z line; do [[ $line == *ready* ]] && break; done
    zpty -w -n z $'ggrok start d\\t\\x01echo GOT \\n'
    while zpty -r z line; do [[ $line == *"GOT ggrok"* ]] && print -r -- "$line" && break; done
    zpty -d z`;
  expect(await shell("zsh", ["-f", "-c", script])).toMatch(/^GOT ggrok start db\s*$/m);
});

it("knows its shells", async () => {
  for (const args of [["completion"], ["completion", "tcsh"]]) {
    await using program = place.ggrok(args);
    expect(await program.exited).toBe(2);
    expect(program.stderr).not.toBe("");
  }
  await using help = place.ggrok(["--help"]);
  expect(await help.exited).toBe(0);
  expect(help.stdout).toMatch(/^ {2}completion <shell> +print a script/m);
});
