import { describe, expect, it } from "vitest";
import { joinTarget, parseTarget } from "./target.ts";

describe("parseTarget", () => {
  it.each([
    ["3000", "http", "localhost", 3000, "", "localhost:3000"],
    [" 3000 ", "http", "localhost", 3000, "", "localhost:3000"],
    ["app.test:8080", "http", "app.test", 8080, "", "app.test:8080"],
    ["app.test:8080/", "http", "app.test", 8080, "", "app.test:8080"],
    ["my_app:80", "http", "my_app", 80, "", "my_app"],
    ["[::1]:3000", "http", "::1", 3000, "", "[::1]:3000"],
    ["http://10.0.0.7", "http", "10.0.0.7", 80, "", "10.0.0.7"],
    ["HTTP://Host:80/", "http", "Host", 80, "", "Host"],
    ["https://dev.test", "https", "dev.test", 443, "", "dev.test"],
    ["https://[::1]/b", "https", "::1", 443, "/b", "[::1]"],
    ["http://h:1/a/../b//c%2F/", "http", "h", 1, "/a/../b//c%2F", "h:1"],
  ])("reads %s", (text, scheme, hostname, port, basePath, authority) => {
    expect(parseTarget(text)).toMatchObject({ scheme, hostname, port, basePath, authority });
  });

  it.each([
    ["", "empty"],
    ["0", "not a port"],
    ["65536", "not a port"],
    ["host", "no port"],
    ["host:", "not a port"],
    ["host:12x", "not a port"],
    [":3000", "no host"],
    ["http://", "no host"],
    ["::1:3000", "brackets"],
    ["[::g]:1", "not an IPv6 address"],
    ["ho st:1", "not a host name"],
    ["-h:1", "not a host name"],
    ["ftp://h", "ftp is not known"],
    ["ws://h:1", "ws is not known"],
    ["host:3000/base", "starts with http"],
    ["http://u:p@h", "no user"],
    ["http://h/a?b", "no query"],
    ["http://h/#b", "no query"],
    ["http://h/a b", "percent-encoded"],
    ["unix:app.sock", "whole path"],
    ["unix://host/app.sock", "whole path"],
    ["file:srv", "whole path"],
    ["file://host/srv", "whole path"],
    ["file:///srv?x", "no query"],
  ])("refuses %j with a sentence", (text, words) => {
    expect(() => parseTarget(text)).toThrow(
      expect.objectContaining({ code: "ERR_GGROK_CONFIG_INVALID", message: expect.stringContaining(words) }),
    );
  });

  it.each([
    ["unix:/run/app.sock", { socketPath: "/run/app.sock", label: "unix:/run/app.sock" }],
    ["UNIX:///run/app.sock", { socketPath: "/run/app.sock", label: "unix:/run/app.sock" }],
    ["file:///srv/my%20site/", { folder: "/srv/my site", label: "file:///srv/my%20site" }],
    ["https://[::1]/b", { label: "https://[::1]/b" }],
  ])("reads %s", (text, expected) => {
    expect(parseTarget(text)).toMatchObject(expected);
  });

  it.each([
    ["3000", true],
    ["LOCALHOST:1", true],
    ["app.localhost:1", true],
    ["127.8.8.8:1", true],
    ["[::1]:1", true],
    ["[0:0:0:0:0:0:0:1]:1", true],
    ["[::ffff:127.0.0.1]:1", true],
    ["128.0.0.1:1", false],
    ["[::]:1", false],
    ["[2001:db8::1]:1", false],
    ["localhost.evil.test:1", false],
    ["https://example.test", false],
  ])("knows whether %s is this machine", (text, isLoopback) => {
    expect(parseTarget(text).isLoopback).toBe(isLoopback);
  });
});

describe("joinTarget", () => {
  const plain = parseTarget("3000");
  const based = parseTarget("http://h:1/base/");

  it.each(["/", "//", "//x@y", "/a/../b", "/?", "/?b?c", "/%zz", "/%2e%2e", "/;a=b", "*"])(
    "leaves %s as it is",
    (path) => {
      expect(joinTarget(plain, path)).toBe(path);
    },
  );

  it("puts the base before the path, byte for byte", () => {
    expect(joinTarget(based, "/a/../b?c")).toBe("/base/a/../b?c");
    expect(joinTarget(based, "//x")).toBe("/base//x");
    expect(joinTarget(based, "*")).toBe("*");
  });

  it("drops the authority of an absolute form", () => {
    expect(joinTarget(plain, "http://169.254.169.254/latest?x")).toBe("/latest?x");
    expect(joinTarget(plain, "http://evil.test")).toBe("/");
    expect(joinTarget(plain, "HTTPS://evil.test?q")).toBe("/?q");
    expect(joinTarget(based, "http://evil.test/p")).toBe("/base/p");
  });
});
