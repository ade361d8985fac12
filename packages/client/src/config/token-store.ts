import { readFileSync } from "node:fs";
import { parseDocument } from "yaml";
import { loadConfig } from "./load.ts";
import { writePrivateFile } from "./private-file.ts";

/**
 * Changes one value of a configuration file and keeps everything else, comments included. A file that does not validate
 * is refused before it is touched.
 */
export function setConfigValue(path: string, keys: readonly string[], value: string): void {
  const isNew = loadConfig(path) === undefined;
  const source = isNew ? "" : readFileSync(path, "utf8");
  const document = parseDocument(source.trim() === "" ? "version: 3\n" : source);
  document.setIn(keys, value);
  writePrivateFile(path, document.toString());
}

/** Stores a token for one relay origin; it is sent to that origin only. */
export function storeToken(path: string, origin: string, token: string): void {
  setConfigValue(path, ["tokens", origin], token);
}
