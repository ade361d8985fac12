import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { importNgrok } from "./import-ngrok.ts";
import { parseConfig } from "./load.ts";

const VERSION_3 = `
version: 3
agent:
  authtoken: 2abcDEF
  web_addr: 127.0.0.1:4041
  log_level: crit
  connect_timeout: 30s
endpoints:
  - name: web
    url: https://demo.ngrok.app
    description: mine
    upstream:
      url: 3000
    pooling_enabled: true
    traffic_policy:
      on_http_request: []
  - name: db
    url: tcp://1.tcp.ngrok.io:12345
    upstream:
      url: tcp://localhost:5432
      proxy_protocol: "2"
`;

const VERSION_2 = `
version: "2"
authtoken: 2abcDEF
region: eu
log_format: json
tunnels:
  web:
    proto: http
    addr: https://localhost:8443
    subdomain: demo
    basic_auth: ["me:secret"]
    ip_restriction: { allow_cidrs: [10.0.0.0/8], deny_cidrs: [10.1.0.0/16] }
    oauth: { provider: google }
    host_header: rewrite
    inspect: false
    request_header:
      add: ["X-A: 1"]
      remove: ["X-B"]
  ssh:
    proto: tcp
    addr: 22
`;

describe("importNgrok", () => {
  it("keeps what means the same here and names the rest (version 3)", () => {
    const { config, dropped } = importNgrok(VERSION_3);
    expect(config).toEqual({
      agent: { web_addr: "127.0.0.1:4041", log_level: "error" },
      endpoints: [
        { name: "web", url: "https://demo.ngrok.app", pooling_enabled: true, upstream: { url: 3000 } },
        { name: "db", url: "tcp://1.tcp.ngrok.io:12345", upstream: { url: "tcp://localhost:5432", proxy_protocol: 2 } },
      ],
    });
    expect(dropped.map((line) => line.split(":")[0])).toEqual([
      "agent.authtoken",
      "agent.connect_timeout",
      "endpoints.web.description",
      "endpoints.web.traffic_policy",
    ]);
  });

  it("turns tunnels into endpoints (version 2)", () => {
    const { config, dropped } = importNgrok(VERSION_2);
    expect(config).toEqual({
      agent: { log_format: "json" },
      endpoints: [
        {
          name: "web",
          url: "demo",
          basic_auth: ["me:secret"],
          cidr_allow: ["10.0.0.0/8"],
          cidr_deny: ["10.1.0.0/16"],
          inspect: false,
          request_headers: { add: ["X-A: 1"], remove: ["X-B"] },
          upstream: { url: "https://localhost:8443", host_header: "rewrite" },
        },
        { name: "ssh", upstream: { url: "tcp://localhost:22" } },
      ],
    });
    expect(dropped.join("\n")).toMatch(/authtoken: .*ggrok login/);
    expect(dropped.join("\n")).toMatch(/region: /);
    expect(dropped.join("\n")).toMatch(/tunnels\.web\.oauth: what it guards is open here/);
    expect(dropped).toHaveLength(3);
  });

  it.each([VERSION_3, VERSION_2])("gives a file that we read ourselves", (source) => {
    expect(parseConfig(stringify(importNgrok(source).config)).problems).toEqual([]);
  });

  it("never shows a token", () => {
    for (const source of [VERSION_3, VERSION_2]) expect(JSON.stringify(importNgrok(source))).not.toContain("2abcDEF");
  });

  it("says the line of a broken file, and refuses what is no map", () => {
    expect(() => importNgrok("a: 1\nb: [")).toThrow(/line 2/);
    expect(() => importNgrok("- 1")).toThrow(/no ngrok configuration/);
    expect(importNgrok("")).toEqual({ config: {}, dropped: [] });
  });
});
