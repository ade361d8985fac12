import { describe, expect, it } from "vitest";
import { parseConfig } from "./load.ts";

describe("parseConfig", () => {
  it("reads ngrok's version 3 shape with a relay", () => {
    const { config, problems } = parseConfig(`version: 3
relay: https://relay.example.com
agent:
  authtoken: secret
  web_addr: 127.0.0.1:4041
  log_level: debug
endpoints:
  - name: web
    url: https://web.example.com
    upstream:
      url: 3000
`);
    expect(problems).toEqual([]);
    expect(config.endpoints?.[0]).toEqual({ name: "web", url: "https://web.example.com", upstream: { url: 3000 } });
  });

  it("names every unknown key with its line", () => {
    const { problems } = parseConfig(
      "relay: a.example\nrelai: b\nagent:\n  authtoken: x\n  autotoken: y\nendpoints:\n  - name: a\n    upstream:\n      url: 1\n      port: 3\n",
    );
    expect(problems).toEqual([
      { line: 2, message: 'unknown key "relai"' },
      { line: 5, message: 'unknown key "agent.autotoken"' },
      { line: 10, message: 'unknown key "endpoints.0.upstream.port"' },
    ]);
  });

  it("names wrong values with their line, and the second copy of a key", () => {
    expect(parseConfig("version: 2\nagent:\n  log_level: loud\n").problems).toEqual([
      { line: 1, message: "version must be 3" },
      { line: 3, message: "agent.log_level must be debug, info, warn or error" },
    ]);
    expect(parseConfig("relay: a\nrelay: b\n").problems[0]?.line).toBe(2);
    expect(parseConfig("agent: [").problems.length).toBeGreaterThan(0);
    expect(parseConfig("- a\n").problems.length).toBe(1);
  });

  it("takes no token without the relay it is for", () => {
    expect(parseConfig("agent:\n  authtoken: x\n").problems).toMatchObject([{ line: 2 }]);
  });

  it("takes an empty file", () => {
    expect(parseConfig("")).toEqual({ config: {}, problems: [] });
    expect(parseConfig("# only a comment\n")).toEqual({ config: {}, problems: [] });
  });
});
