import { mkdtempSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { loadAgentId } from "./identity.ts";

const folder = (): string => mkdtempSync(join(tmpdir(), "ggrok-id-"));

it("is the same at every start and differs by machine, folder and relay", () => {
  const stateDir = folder();
  const base = { stateDir, folder: "/work-folder", relayOrigin: "https://a.example", machine: "m1" };
  const id = loadAgentId(base);
  expect(Buffer.from(id, "base64url")).toHaveLength(32);
  expect(loadAgentId(base)).toBe(id);
  expect(loadAgentId({ ...base, folder: "/other" })).not.toBe(id);
  expect(loadAgentId({ ...base, machine: "m2" })).not.toBe(id);
  expect(loadAgentId({ ...base, relayOrigin: "https://b.example" })).not.toBe(id);
  expect(loadAgentId({ ...base, stateDir: folder() })).not.toBe(id);
});

it("keeps its secret for the owner alone", () => {
  const stateDir = folder();
  loadAgentId({ stateDir, folder: "/f", relayOrigin: "https://a.example" });
  expect(statSync(join(stateDir, "agent-secret.json")).mode & 0o777).toBe(0o600);
});

it("sees through symbolic links", () => {
  const stateDir = folder();
  const real = folder();
  const link = join(folder(), "link");
  symlinkSync(real, link);
  const at = (f: string): string => loadAgentId({ stateDir, folder: f, relayOrigin: "https://a.example" });
  expect(at(link)).toBe(at(real));
});

it("works where nothing can be written", () => {
  const id = loadAgentId({ stateDir: "/dev/null/nowhere", folder: "/f", relayOrigin: "https://a.example" });
  expect(Buffer.from(id, "base64url")).toHaveLength(32);
});
