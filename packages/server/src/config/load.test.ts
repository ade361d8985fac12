import { readFileSync } from "node:fs";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import type { RelayConfig } from "./config.ts";
import { describeConfig, describeSettings } from "./describe.ts";
import { loadConfig, type Sources } from "./load.ts";

function load(sources: Partial<Sources>): RelayConfig {
  const result = loadConfig({ flags: {}, env: {}, isTerminal: false, ...sources });
  if (result.problems !== undefined) throw new Error(JSON.stringify(result.problems));
  return result.config;
}

function problems(sources: Partial<Sources>): string[] {
  const result = loadConfig({ flags: {}, env: {}, isTerminal: false, ...sources });
  return (result.problems ?? []).map(({ key, message }) => `${key} ${message}`);
}

describe("loadConfig", () => {
  it("has the defaults of the documentation", () => {
    expect(load({})).toMatchObject({
      port: 8080,
      bind: "127.0.0.1",
      domain: undefined,
      publicUrl: undefined,
      tokens: [],
      adminToken: undefined,
      allowAnonymous: false,
      trustProxy: ["127.0.0.0/8", "::1/128"],
      platform: "none",
      holdMs: 30_000,
      parkMs: 10_000,
      graceMs: 25_000,
      logFormat: "json",
      logLevel: "info",
    });
  });

  it("lets flags win over the environment and the environment over the file", () => {
    const readFile = (): string => "port: 1\nhold: 1s\npark: 1s\n";
    const config = load({
      flags: { port: "3" },
      env: { PORT: "2", GGROK_HOLD: "2s" },
      configFile: "relay.yaml",
      readFile,
    });
    expect([config.port, config.holdMs, config.parkMs]).toEqual([3, 2_000, 1_000]);
  });

  it("prefers the specific variable to the generic one", () => {
    expect(load({ env: { PORT: "1", GGROK_PORT: "2" } }).port).toBe(2);
  });

  it("listens on all interfaces once a token is configured", () => {
    expect(load({ flags: { token: ["s3cret"] } }).bind).toBeUndefined();
  });

  it("splits lists of the environment at commas", () => {
    expect(load({ env: { GGROK_TOKEN: "one, two" } }).tokens.map((token) => token.reveal())).toEqual(["one", "two"]);
  });

  it("follows env: and file: for secrets", () => {
    const config = load({
      flags: { token: ["env:A", "file:/t"], "admin-token": "file:/t" },
      env: { A: "from-env" },
      readFile: () => "from-file\n",
    });
    expect(config.tokens.map((token) => token.reveal())).toEqual(["from-env", "from-file"]);
    expect(config.adminToken?.reveal()).toBe("from-file");
  });

  it("reports all problems at once, each under the name the user gave it", () => {
    const found = problems({
      flags: { port: "99999", "public-url": "https://h/path" },
      env: { GGROK_HOLD: "30", GGROK_DOMAIN: "*.example.com", GGROK_TRUST_PROXY: "10.0.0.0/33" },
      configFile: "relay.yaml",
      readFile: () => "prot: 1\npark: soon\n",
    });
    expect(found.map((line) => line.split(" ")[0])).toEqual([
      "relay.yaml:1:",
      "--port",
      "GGROK_DOMAIN",
      "--public-url",
      "GGROK_TRUST_PROXY",
      "GGROK_HOLD",
      "relay.yaml:2:",
    ]);
  });

  it.each([
    ["an empty token", { env: { GGROK_TOKEN: "" } }],
    ["an empty place in a list of tokens", { env: { GGROK_TOKEN: "a,,b" } }],
    ["a reference to a variable that is not set", { flags: { token: ["env:NOPE"] } }],
    ["a reference to an empty variable", { flags: { "admin-token": "env:E" }, env: { E: "" } }],
    ["an empty admin token", { env: { GGROK_ADMIN_TOKEN: "" } }],
    ["a token with a space", { flags: { token: ["a b"] } }],
    ["an unknown network", { flags: { "trust-proxy": ["everyone"] } }],
    ["a switch with another word", { env: { GGROK_ALLOW_ANONYMOUS: "maybe" } }],
    ["an empty configuration key", { configFile: "c", readFile: () => "token:\n" }],
    ["a broken file", { configFile: "c", readFile: () => "port: [1\n" }],
  ])("fails closed on %s", (_, sources) => {
    expect(problems(sources)).toHaveLength(1);
  });

  it("names a file that cannot be read", () => {
    const readFile = (): string => {
      throw new Error("ENOENT");
    };
    expect(problems({ flags: { token: ["file:/nope"] }, readFile })).toEqual([
      "--token refers to file:/nope, which cannot be read: ENOENT",
    ]);
    expect(problems({ configFile: "/nope.yaml", readFile })).toEqual(["--config /nope.yaml cannot be read: ENOENT"]);
  });

  it("takes the rules of the platform it finds itself on", () => {
    expect(load({ env: { DYNO: "web.1" } })).toMatchObject({
      platform: "heroku",
      keepAliveMs: 95_000,
      firstByteMs: 28_000,
    });
    expect(load({ env: { FLY_APP_NAME: "a", FLY_MACHINE_ID: "m" } }).trustProxy).toContain("fdaa::/16");
    expect(load({ env: { DYNO: "web.1" }, flags: { platform: "none", "trust-proxy": ["none"] } })).toMatchObject({
      platform: "none",
      trustProxy: [],
    });
  });
});

describe("secrets", () => {
  it("never print", () => {
    const config = load({ flags: { token: ["hunter2"], "admin-token": "hunter2" } });
    expect(describeConfig(config)).toContain("token: [redacted]");
    for (const text of [describeConfig(config), JSON.stringify(config), inspect(config, { depth: 9 })])
      expect(text).not.toContain("hunter2");
  });
});

describe("docs/configuration.md", () => {
  it("has the table of the schema", () => {
    const page = readFileSync(new URL("../../../../docs/configuration.md", import.meta.url), "utf8");
    expect(page).toContain(describeSettings());
  });
});
