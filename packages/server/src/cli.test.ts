import { describe, expect, it } from "vitest";
import { type Invocation, parseCommandLine } from "./cli.ts";
import { SETTING_NAMES } from "./config/schema.ts";

function run(args: string[], env: Record<string, string> = {}): { invocation: Invocation; out: string; err: string } {
  let out = "";
  let err = "";
  const invocation = parseCommandLine(args, {
    env,
    isTerminal: false,
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
  });
  return { invocation, out, err };
}

describe("ggrok-relay", () => {
  it("runs with the configuration of its flags", () => {
    const { invocation } = run([
      "--port",
      "0",
      "--token",
      "a",
      "--token",
      "b,c",
      "--allow-anonymous",
      "--trust-proxy",
      "10.0.0.0/8",
    ]);
    if (!("run" in invocation)) throw new Error("does not run");
    expect(invocation.run).toMatchObject({ port: 0, allowAnonymous: true, trustProxy: ["10.0.0.0/8"] });
    expect(invocation.run.tokens.map((token) => token.reveal())).toEqual(["a", "b", "c"]);
  });

  it.each([
    [["--nope"]],
    [["frobnicate"]],
    [["token", "create"]],
    [["--no-such-flag", "x"]],
    [["--port"]],
    [["check", "--nope"]],
  ])("ends with 2 for %j", (args) => {
    const { invocation, err } = run(args);
    expect(invocation).toEqual({ exit: 2 });
    expect(err).not.toBe("");
  });

  it("ends with 3 and names every wrong setting", () => {
    const { invocation, err } = run(["--port", "x", "--hold", "5"], { GGROK_GRACE: "long" });
    expect(invocation).toEqual({ exit: 3 });
    expect(err).toMatch(/--port .*\n.*--hold .*\n.*GGROK_GRACE /u);
  });

  it("lists every flag with its variables in --help", () => {
    const { invocation, out } = run(["--help"]);
    expect(invocation).toEqual({ exit: 0 });
    for (const name of [...SETTING_NAMES.map((setting) => `--${setting}`), "--config", "GGROK_PUBLIC_URL", "check"])
      expect(out).toContain(name);
  });

  it("prints its version", () => {
    expect(run(["--version"]).out).toMatch(/^\d+\.\d+\.\d+\n$/u);
  });
});

describe("ggrok-relay check", () => {
  it.each([[["check", "--port", "9", "--token", "hunter2"]], [["--port", "9", "--token", "hunter2", "check"]]])(
    "prints what results from %j",
    (args) => {
      const { invocation, out } = run(args, { GGROK_HOLD: "1m" });
      expect(invocation).toEqual({ exit: 0 });
      expect(out).toContain("port: 9\n");
      expect(out).toContain("token: [redacted]\n");
      expect(out).toContain("hold: 1m\n");
      expect(out).not.toContain("hunter2");
    },
  );

  it("ends with 3 when something is wrong", () => {
    expect(run(["check", "--port", "x"]).invocation).toEqual({ exit: 3 });
  });
});
