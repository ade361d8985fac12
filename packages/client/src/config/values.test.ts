import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseBoolean, parseDuration, parseListenAddress, parseSize, resolveSecret } from "./values.ts";

describe("parseSize", () => {
  it.each([
    ["0B", 0],
    ["64KiB", 65_536],
    [" 100MiB ", 104_857_600],
    ["1GiB", 1_073_741_824],
  ])("reads %s", (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each(["", "1", "1 GiB", "1.5GiB", "-1B", "1GB", "1g"])("refuses %j", (text) => {
    expect(() => parseSize(text)).toThrow(/is not a size/);
  });
});

describe("parseDuration", () => {
  it.each([
    ["500ms", 500],
    ["30s", 30_000],
    ["10m", 600_000],
    ["2h", 7_200_000],
    ["1.5s", 1_500],
  ])("reads %s", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });
  it.each(["", "30", "s", "-1s", "1 s", "1d", "1e3s"])("refuses %j", (text) => {
    expect(() => parseDuration(text)).toThrow(/is not a duration/);
  });
});

describe("resolveSecret", () => {
  it("takes the text, a variable or a file", () => {
    const path = join(mkdtempSync(join(tmpdir(), "ggrok-")), "token");
    writeFileSync(path, "from-file\n");
    expect(resolveSecret("plain", {})).toBe("plain");
    expect(resolveSecret("env:TOKEN", { TOKEN: "from-env" })).toBe("from-env");
    expect(resolveSecret(`file:${path}`, {})).toBe("from-file");
  });
  it("names the missing variable or file and keeps line ends out of header fields", () => {
    expect(() => resolveSecret("env:NOPE", {})).toThrow(/NOPE/);
    expect(() => resolveSecret("file:/does/not/exist", {})).toThrow(/does\/not\/exist/);
    expect(() => resolveSecret("a\r\nb", {})).toThrow(/characters/);
    expect(() => resolveSecret("", {})).toThrow(/empty/);
  });
});

describe("parseListenAddress", () => {
  it.each([
    ["127.0.0.1:4040", { host: "127.0.0.1", port: 4040 }],
    ["[::1]:80", { host: "::1", port: 80 }],
    [":4041", { host: "127.0.0.1", port: 4041 }],
    ["0", { host: "127.0.0.1", port: 0 }],
    ["localhost:1", { host: "localhost", port: 1 }],
  ])("reads %s", (text, address) => {
    expect(parseListenAddress(text)).toEqual(address);
  });
  it.each(["", "a:b", "1:2:3", "host:70000", "http://x:1"])("refuses %j", (text) => {
    expect(() => parseListenAddress(text)).toThrow(/address/);
  });
});

it("reads the booleans of flags", () => {
  expect(parseBoolean("true")).toBe(true);
  expect(parseBoolean("false")).toBe(false);
  expect(() => parseBoolean("yes")).toThrow(/neither/);
});
