import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { isTrustedProject, sensitiveSettings, trustProject } from "./project-trust.ts";

it("asks once a folder, and again when the file changes", () => {
  const state = mkdtempSync(join(tmpdir(), "ggrok-state-"));
  const settings = sensitiveSettings({ relay: "a.example" });
  expect(isTrustedProject(state, "/p", settings)).toBe(false);
  trustProject(state, "/p", settings);
  expect(isTrustedProject(state, "/p", settings)).toBe(true);
  expect(isTrustedProject(state, "/q", settings)).toBe(false);
  expect(isTrustedProject(state, "/p", sensitiveSettings({ relay: "evil.example" }))).toBe(false);
});

it("asks about what reaches out or shows files, and nothing else", () => {
  expect(
    sensitiveSettings({
      relay: "a.example",
      proxy: "http://p",
      ca: "/ca.pem",
      agent: { web_addr: "127.0.0.1:1" },
      endpoints: [
        { name: "app", upstream: { url: 3000 } },
        { name: "home", upstream: { url: "FILE:///home" } },
      ],
    }),
  ).toEqual(["relay: a.example", "proxy: http://p", "ca: /ca.pem", "endpoint home: FILE:///home"]);
  expect(sensitiveSettings({ agent: { log: "stdout" } })).toEqual([]);
});
