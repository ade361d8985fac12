import { chmodSync, mkdtempSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadConfig } from "./load.ts";
import { inspectPrivateFile } from "./private-file.ts";
import { setConfigValue, storeToken } from "./token-store.ts";

function newFolder(): string {
  return mkdtempSync(join(tmpdir(), "ggrok-config-"));
}

describe("storeToken", () => {
  it("makes the file for its owner alone, with one token per relay", () => {
    const path = join(newFolder(), "deep", "ggrok.yml");
    storeToken(path, "https://a.example", "one");
    storeToken(path, "http://localhost:8080", "two");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(loadConfig(path)).toEqual({
      version: 3,
      tokens: { "https://a.example": "one", "http://localhost:8080": "two" },
    });
  });

  it("keeps comments and closes a file that was open to others", () => {
    const path = join(newFolder(), "ggrok.yml");
    writeFileSync(path, "# mine\nrelay: https://a.example # the good one\n", { mode: 0o644 });
    storeToken(path, "https://a.example", "one");
    const text = readFileSync(path, "utf8");
    expect(text).toContain("# mine");
    expect(text).toContain("# the good one");
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it("leaves a broken file as it is", () => {
    const path = join(newFolder(), "ggrok.yml");
    writeFileSync(path, "nonsense: 1\n");
    expect(() => setConfigValue(path, ["relay"], "https://a.example")).toThrow(/:1: unknown key "nonsense"/);
    expect(readFileSync(path, "utf8")).toBe("nonsense: 1\n");
  });
});

describe("inspectPrivateFile", () => {
  it("warns of readers and refuses what others can change", () => {
    const folder = newFolder();
    const path = join(folder, "ggrok.yml");
    writeFileSync(path, "x", { mode: 0o600 });
    expect(inspectPrivateFile(path, true)).toEqual([]);
    chmodSync(path, 0o644);
    expect(inspectPrivateFile(path, true)).toHaveLength(1);
    expect(inspectPrivateFile(path, false)).toEqual([]);
    chmodSync(path, 0o666);
    expect(() => inspectPrivateFile(path, true)).toThrow(/every user/);
    chmodSync(path, 0o600);
    chmodSync(folder, 0o777);
    expect(() => inspectPrivateFile(path, true)).toThrow(/every user/);
  });
});
