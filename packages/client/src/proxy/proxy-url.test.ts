import { describe, expect, it } from "vitest";
import { parseProxyUrl } from "./proxy-url.ts";

describe("parseProxyUrl", () => {
  it.each([
    ["http://proxy:3128", "http", "proxy", 3_128],
    ["proxy:3128", "http", "proxy", 3_128],
    ["proxy.example", "http", "proxy.example", 80],
    ["https://proxy", "https", "proxy", 443],
    ["https://proxy:80", "https", "proxy", 80],
    ["socks5://proxy", "socks5", "proxy", 1_080],
    ["socks5h://proxy:80", "socks5", "proxy", 80],
    ["socks://[::1]:9", "socks5", "::1", 9],
    ["HTTP://Proxy:1/", "http", "proxy", 1],
  ])("reads %s", (text, scheme, hostname, port) => {
    expect(parseProxyUrl(text)).toMatchObject({ scheme, hostname, port });
  });

  it("takes user and password out, decoded, and keeps them off its label", () => {
    const proxy = parseProxyUrl("http://do%40main:p%3A%20w@proxy:8080");
    expect(proxy).toMatchObject({ username: "do@main", password: "p: w", label: "http://proxy:8080" });
  });

  it.each([
    "",
    "ftp://x:1",
    "http://",
    "socks4://x",
    "http://x:99999",
    "http://x:0",
    "http://x/path",
    "http://u:%zz@x",
    "socks5://a b",
  ])("refuses %j", (text) => {
    expect(() => parseProxyUrl(text)).toThrowError(expect.objectContaining({ code: "ERR_GGROK_CONFIG_INVALID" }));
  });

  it("says nothing of a password, whatever is wrong", () => {
    for (const text of ["ftp://u:hunter2@x", "http://u:hunter2@x/path", "http://u:hunter2%zz@x", "http://u:hunter2@"]) {
      expect(() => parseProxyUrl(text)).toThrowError(expect.not.stringContaining("hunter2"));
    }
    const long = `socks5://u:${"hunter2".repeat(60)}@x`;
    expect(() => parseProxyUrl(long)).toThrowError(expect.not.stringContaining("hunter2"));
  });
});
