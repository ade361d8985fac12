import { describe, expect, it } from "vitest";
import { isExcluded, proxyOfEnvironment } from "./environment.ts";

const to = { host: "relay.example", port: 443, isSecure: true };

describe("proxyOfEnvironment", () => {
  it.each([
    [{ HTTPS_PROXY: "http://a:1" }, "HTTPS_PROXY"],
    [{ https_proxy: "http://a:1", HTTPS_PROXY: "http://b:1" }, "https_proxy"],
    [{ ALL_PROXY: "socks5://a" }, "ALL_PROXY"],
    [{ HTTPS_PROXY: "", all_proxy: "socks5://a" }, "all_proxy"],
    [{ HTTP_PROXY: "http://a:1" }, undefined],
    [{}, undefined],
    [{ HTTPS_PROXY: "http://a:1", NO_PROXY: "*" }, undefined],
    [{ HTTPS_PROXY: "http://a:1", no_proxy: "other.example", NO_PROXY: "relay.example" }, "HTTPS_PROXY"],
  ])("reads %j", (env, variable) => {
    expect(proxyOfEnvironment(to, env)?.variable).toBe(variable);
  });

  it("takes HTTP_PROXY for a relay without TLS, and none for this machine", () => {
    const env = { HTTP_PROXY: "http://a:1", ALL_PROXY: "http://b:1" };
    expect(proxyOfEnvironment({ ...to, isSecure: false }, env)?.variable).toBe("HTTP_PROXY");
    for (const host of ["localhost", "x.localhost", "127.0.0.1", "127.1.2.3", "::1"]) {
      expect(proxyOfEnvironment({ ...to, host }, env)).toBeUndefined();
    }
  });
});

describe("NO_PROXY", () => {
  it.each([
    ["relay.example", "relay.example", 443, true],
    ["example", "relay.example", 443, true],
    [".example", "relay.example", 443, true],
    [".example", "example", 443, true],
    ["*.example", "relay.example", 443, true],
    ["*.example", "example", 443, false],
    ["relay-*.example", "relay-7.example", 443, true],
    ["RELAY.Example.", "relay.example", 443, true],
    ["relay.example", "relay.example.", 443, true],
    ["ay.example", "relay.example", 443, false],
    ["relay.example:443", "relay.example", 443, true],
    ["relay.example:8443", "relay.example", 443, false],
    ["relay.example:x", "relay.example", 443, false],
    ["a, b relay.example\tc", "relay.example", 443, true],
    ["10.0.0.0/8", "10.200.1.1", 443, true],
    ["10.0.0.0/8", "11.0.0.1", 443, false],
    ["10.0.0.0/8", "ten.example", 443, false],
    ["10.0.0.0/33", "10.0.0.1", 443, false],
    ["10.0.0.0/x", "10.0.0.1", 443, false],
    ["10.0.0.0/8:443", "10.0.0.1", 443, true],
    ["10.0.0.0/8:80", "10.0.0.1", 443, false],
    ["192.168.1.5", "192.168.1.5", 443, true],
    ["192.168.1.5", "192.168.1.50", 443, false],
    ["fd00::/8", "fd12::1", 443, true],
    ["fd00::/8", "fe80::1", 443, false],
    ["[fd12::1]:443", "fd12:0::1", 443, true],
    ["[fd12::1]:80", "fd12::1", 443, false],
    ["fd12::1", "fd12::1", 443, true],
    ["", "relay.example", 443, false],
    [".", "relay.example", 443, false],
    [",,", "relay.example", 443, false],
  ])("%j for %s:%d is %s", (list, host, port, expected) => {
    expect(isExcluded({ host, port }, list)).toBe(expected);
  });
});
