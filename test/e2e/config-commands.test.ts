import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { Place } from "./cli-world.ts";

const NGROK = `version: "2"
authtoken: 2abcDEF
region: eu
web_addr: 127.0.0.1:4041
tunnels:
  web:
    proto: http
    addr: 3000
    subdomain: demo
    basic_auth: ["me:secret"]
    oauth: { provider: google }
  ssh:
    proto: tcp
    addr: 22
`;

async function run(place: Place, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  await using program = place.ggrok(args, { env });
  const code = await program.exited;
  return { code, stdout: program.stdout, stderr: program.stderr };
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text, { mode: 0o600 });
}

describe("ggrok config import", () => {
  it("adds what it can keep to the file as it stands, and names all that was dropped", async () => {
    await using place = new Place();
    const source = join(place.cwd, "ngrok.yml");
    writeFileSync(source, NGROK);
    write(
      place.configPath,
      "# mine\nversion: 3\nagent:\n  web_addr: false # none\nendpoints:\n  - name: ssh\n    upstream: { url: tcp://localhost:2222 }\n",
    );
    const { code, stdout, stderr } = await run(place, ["config", "import", "ngrok.yml"]);
    expect(code).toBe(0);
    expect(stdout).toBe(`1 endpoint of ${source} added to ${place.configPath}\n`);
    expect(stderr.split("\n").map((line) => line.split(":")[0])).toEqual([
      "dropped authtoken",
      "dropped region",
      "dropped tunnels.web.oauth",
      "dropped agent.web_addr",
      "dropped endpoints.ssh",
      "",
    ]);
    const text = readFileSync(place.configPath, "utf8");
    expect(text).toContain("# mine\n");
    expect(text).toContain("web_addr: false # none");
    expect(text).toMatch(/- name: web\n\s+url: demo\n\s+basic_auth:\s+- me:secret\n\s+upstream:\n\s+url: 3000/);
    expect(text).not.toContain("2abcDEF");
    expect((await run(place, ["config", "check"])).code).toBe(0);
  });

  it("makes a file of this user's alone, from where ngrok keeps its own", async () => {
    await using place = new Place();
    write(join(place.folder, "config", "ngrok", "ngrok.yml"), NGROK);
    const { code, stdout } = await run(place, ["config", "import"]);
    expect([code, stdout.split(" ", 1)[0]]).toEqual([0, "2"]);
    expect(statSync(place.configPath).mode & 0o777).toBe(0o600);
    const check = await run(place, ["start"]);
    expect(check.stderr).toContain("say which, or --all: web, ssh");
  });

  it.each([
    ["no file", undefined, "cannot be read"],
    ["no YAML", "a: [", "line 1"],
    ["what would be wrong here", "tunnels:\n  web: { addr: 3000, host_header: 5 }\n", "host_header"],
  ])("writes nothing when there is %s", async (_name, source, text) => {
    await using place = new Place();
    if (source !== undefined) writeFileSync(join(place.cwd, "ngrok.yml"), source);
    const { code, stderr } = await run(place, ["config", "import", "ngrok.yml"]);
    expect(code).toBe(3);
    expect(stderr).toContain(text);
    expect(() => statSync(place.configPath)).toThrow();
  });
});

describe("ggrok config edit", () => {
  it("opens the file in the editor, a new one with a beginning, and checks it", async () => {
    await using place = new Place();
    const editor = join(place.cwd, "my editor.sh");
    writeFileSync(editor, '#!/bin/sh\nhead -1 "$2" && echo "relay: https://relay.example.com" >> "$2"\n', {
      mode: 0o755,
    });
    const { code, stdout } = await run(place, ["config", "edit"], { VISUAL: `'${editor}' --wait`, EDITOR: "false" });
    expect(code).toBe(0);
    expect(stdout).toBe(`version: 3\nValid configuration file at ${place.configPath}\n`);
    expect(readFileSync(place.configPath, "utf8")).toContain("relay: https://relay.example.com\n");
    expect(statSync(place.configPath).mode & 0o777).toBe(0o600);
  });

  it("names the line of a mistake, and an editor that failed", async () => {
    await using place = new Place();
    const file = join(place.cwd, "own.yml");
    writeFileSync(file, "version: 3\ncolour: red\n", { mode: 0o600 });
    const broken = await run(place, ["config", "edit", "--config", "own.yml"], { EDITOR: "true", VISUAL: "" });
    expect([broken.code, broken.stderr]).toEqual([3, expect.stringContaining(`${file}:2: unknown key "colour"`)]);
    const failed = await run(place, ["config", "edit", "--config", "own.yml"], { VISUAL: "false" });
    expect([failed.code, failed.stderr]).toEqual([3, expect.stringContaining("false ended with 1")]);
  });
});
