import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { recallName, releaseName, rememberName } from "./chosen-names.ts";

const dead = (): boolean => false;
const alive = (): boolean => true;

function place(folder = "/f", relayOrigin = "https://a.example") {
  return { stateDir: mkdtempSync(join(tmpdir(), "ggrok-names-")), relayOrigin, folder };
}

it("gives a folder its last name back", () => {
  const here = place();
  expect(recallName(here, "3000", dead)).toBeUndefined();
  rememberName(here, "3000", "https://x.a.example", 1);
  expect(recallName(here, "3000", dead)).toBe("https://x.a.example");
  expect(recallName({ ...here, folder: "/g" }, "3000", dead)).toBeUndefined();
  expect(recallName({ ...here, relayOrigin: "https://b.example" }, "3000", dead)).toBeUndefined();
});

it("keeps the name when the port changes and the last agent is gone", () => {
  const here = place();
  rememberName(here, "3000", "https://x.a.example", 1);
  expect(recallName(here, "4000", dead)).toBe("https://x.a.example");
});

it("gives a second living agent a name of its own", () => {
  const here = place();
  rememberName(here, "3000", "https://x.a.example", 1);
  expect(recallName(here, "4000", alive)).toBeUndefined();
  rememberName(here, "4000", "https://y.a.example", 2);
  expect(recallName(here, "3000", alive)).toBe("https://x.a.example");
  expect(recallName(here, "4000", alive)).toBe("https://y.a.example");
});

it("keeps two tunnels of one process apart, and gives the name back after the first has closed", () => {
  const here = place();
  rememberName(here, "3000", "https://x.a.example");
  expect(recallName(here, "3000")).toBeUndefined();
  expect(recallName(here, "4000")).toBeUndefined();
  releaseName(here, "3000");
  expect(recallName(here, "3000")).toBe("https://x.a.example");
});
