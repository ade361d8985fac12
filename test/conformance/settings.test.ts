// Settings for safety fail closed, from wherever they come; files with secrets are believed only when they are the user's own.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { Place, Program } from "../e2e/cli-world.ts";

const RELAY_BIN = fileURLToPath(new URL("../../packages/server/src/bin.ts", import.meta.url));
const WRONG: Record<string, string> = {
  token: "env:GGROK_IS_NOT_THERE",
  "admin-token": "file:/nowhere/at/all",
  "trust-proxy": "everyone",
  domain: "a b",
  "public-url": "ftp://x",
  hold: "soon",
  grace: "-1s",
  "allow-anonymous": "perhaps",
};

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each[Symbol.asyncDispose]();
});

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "ggrok-settings-"));
  open.push({ [Symbol.asyncDispose]: async () => rmSync(path, { recursive: true, force: true }) });
  return path;
}

function relay(args: readonly string[], env: NodeJS.ProcessEnv = {}): Program {
  const { GGROK_TOKEN: _t, PORT: _p, GGROK_PORT: _q, ...rest } = process.env;
  const program = new Program(RELAY_BIN, ["--port", "0", ...args], { env: { ...rest, ...env }, cwd: tmpdir() });
  open.push(program);
  return program;
}

const variableOf = (name: string): string => `GGROK_${name.toUpperCase().replaceAll("-", "_")}`;

describe("the relay does not start with wrong settings, and names each,", () => {
  it("from flags", async () => {
    const { "allow-anonymous": _isASwitch, ...wrong } = WRONG;
    const program = relay(Object.entries(wrong).flatMap(([name, value]) => [`--${name}=${value}`]));
    expect(await program.exited).toBe(3);
    for (const name of Object.keys(wrong)) expect(program.stderr).toContain(name);
    expect(program.stdout).toBe("");
  });

  it("from the environment", async () => {
    const program = relay(
      [],
      Object.fromEntries(Object.entries(WRONG).map(([name, value]) => [variableOf(name), value])),
    );
    expect(await program.exited).toBe(3);
    for (const name of Object.keys(WRONG)) expect(program.stderr).toContain(variableOf(name));
  });

  it("from a file", async () => {
    const path = join(folder(), "relay.yaml");
    writeFileSync(
      path,
      Object.entries(WRONG)
        .map(([name, value]) => `${name}: "${value}"\n`)
        .join(""),
    );
    const program = relay(["--config", path]);
    expect(await program.exited).toBe(3);
    for (const name of Object.keys(WRONG)) expect(program.stderr).toContain(name);
  });

  it.each([
    ["a token that is empty", ["--token", ""]],
    ["an admin token that is empty", ["--admin-token", ""]],
    ["a file that is not there", ["--config", "/nowhere/at/all.yaml"]],
  ])("%s", async (_name, args) => {
    expect(await relay(args).exited).toBe(3);
  });

  it("from a file with a key it does not know", async () => {
    const path = join(folder(), "relay.yaml");
    writeFileSync(path, "tokens: [secret]\n");
    const program = relay(["--config", path]);
    expect(await program.exited).toBe(3);
    expect(program.stderr).toContain("tokens");
  });
});

describe("the agent's file", () => {
  const CONTENT = "version: 3\nagent:\n  authtoken: secret-of-a-test\nrelay: https://relay.example\n";

  async function check(fileMode: number, folderMode: number): Promise<{ code: number | string; text: string }> {
    const place = new Place();
    open.push(place);
    mkdirSync(dirname(place.configPath), { recursive: true });
    writeFileSync(place.configPath, CONTENT);
    chmodSync(place.configPath, fileMode);
    chmodSync(dirname(place.configPath), folderMode);
    const run = place.ggrok(["config", "check"]);
    open.push(run);
    const code = await run.exited;
    return { code, text: run.stdout + run.stderr };
  }

  it("is believed when it is the user's own", async () => {
    const { code, text } = await check(0o600, 0o700);
    expect(code, text).toBe(0);
    expect(text).not.toContain("chmod");
    expect(text).not.toContain("secret-of-a-test");
  });

  it.each([
    ["the file", 0o666, 0o700],
    ["its folder", 0o600, 0o777],
  ])("is refused when every user can change %s", async (_what, fileMode, folderMode) => {
    const { code, text } = await check(fileMode, folderMode);
    expect(code, text).toBe(3);
    expect(text).toContain("chmod");
  });

  it("is warned about when others can read a token in it", async () => {
    const { code, text } = await check(0o644, 0o755);
    expect(code, text).toBe(0);
    expect(text).toContain("chmod 600");
  });
});
