import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { Inspection } from "./inspection.ts";

const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

async function open(isRecording: boolean): Promise<{ inspection: Inspection; stateDir: string }> {
  const stateDir = mkdtempSync(join(tmpdir(), "ggrok-inspection-"));
  folders.push(stateDir);
  const urlOf = (): string => "http://a.localhost";
  const onNotice = (): void => {};
  return { inspection: await Inspection.open({ stateDir, folder: "/p", isRecording, urlOf, onNotice }), stateDir };
}

it("has nobody listen to exchanges and opens no history where nothing is recorded", async () => {
  const { inspection, stateDir } = await open(false);
  expect(inspection.openTap("web")).toBeUndefined();
  expect(inspection.store).toBeUndefined();
  await inspection.close();
  expect(readdirSync(stateDir)).toEqual([]);
});

it("listens and opens a history where it records", async () => {
  const { inspection, stateDir } = await open(true);
  expect(inspection.openTap("web")).toBeDefined();
  expect(existsSync(join(stateDir, "inspector"))).toBe(true);
  await inspection.close();
});
