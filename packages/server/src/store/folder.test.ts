import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { makeFolder } from "./folder.ts";

let base: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "ggrok-folder-"));
});
afterEach(() => rmSync(base, { recursive: true }));

it("makes what is missing of a path, for its owner alone", () => {
  const path = join(base, "a", "b");
  makeFolder(path);
  for (const made of [join(base, "a"), path]) expect(statSync(made).mode & 0o777).toBe(0o700);
});

it("leaves what is there as it is", () => {
  const before = statSync(base);
  makeFolder(base);
  expect(statSync(base)).toEqual(before);
});

it("names what stands in the way", () => {
  const file = join(base, "file");
  writeFileSync(file, "");
  expect(() => makeFolder(join(file, "a"))).toThrow(`${file} cannot be made: EEXIST`);
});
