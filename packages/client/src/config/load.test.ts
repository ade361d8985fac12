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

  it("takes how much of the exchanges is kept, within what a machine can bear", () => {
    const { config, problems } = parseConfig(
      "agent:\n  history:\n    size: 5GiB\n    exchanges: 10000\n    body_size: 0B\n",
    );
    expect({ history: config.agent?.history, problems }).toEqual({
      history: { size: "5GiB", exchanges: 10_000, body_size: "0B" },
      problems: [],
    });
    const wrong = "agent:\n  history:\n    size: 1KiB\n    exchanges: 10001\n    body_size: 2GiB\n    days: 3\n";
    expect(parseConfig(wrong).problems).toEqual([
      { line: 3, message: "agent.history.size must be a size from 1MiB to 1024GiB, such as 100MiB" },
      { line: 4, message: "agent.history.exchanges must be a whole number from 1 to 10000" },
      { line: 5, message: "agent.history.body_size must be a size from 0B to 1GiB, such as 100MiB" },
      { line: 6, message: 'unknown key "agent.history.days"' },
    ]);
  });

  it("takes no token without the relay it is for", () => {
    expect(parseConfig("agent:\n  authtoken: x\n").problems).toMatchObject([{ line: 2 }]);
  });

  it("takes an empty file", () => {
    expect(parseConfig("")).toEqual({ config: {}, problems: [] });
    expect(parseConfig("# only a comment\n")).toEqual({ config: {}, problems: [] });
  });
});
