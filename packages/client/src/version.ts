import { readFileSync } from "node:fs";

/**
 * The agent's own version, read from the package it stands in. `package.json` lies one folder up from the sources, from
 * the type-checked build and from the bundle alike.
 */
export const CLIENT_VERSION: string = readVersion();

function readVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  if (
    typeof manifest === "object" &&
    manifest !== null &&
    "version" in manifest &&
    typeof manifest.version === "string"
  ) {
    return manifest.version;
  }
  return "0.0.0";
}
