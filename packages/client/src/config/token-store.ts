import { readFileSync } from "node:fs";
import { parseDocument } from "yaml";
import { loadConfig, parseConfig } from "./load.ts";
import { writePrivateFile } from "./private-file.ts";
import { configError } from "./values.ts";

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

/**
 * Adds settings of `agent` and endpoints to a configuration file, comments and everything that stands there kept. What the file
 * says itself wins. Returns what was left out for that reason; throws before anything is written where the outcome would be wrong.
 */
export function mergeConfig(
  path: string,
  more: { agent?: Record<string, unknown>; endpoints?: readonly Record<string, unknown>[] },
): string[] {
  const own = loadConfig(path);
  const source = own === undefined ? "" : readFileSync(path, "utf8");
  const document = parseDocument(source.trim() === "" ? "version: 3\n" : source);
  const left: string[] = [];
  for (const [name, value] of Object.entries(more.agent ?? {})) {
    if (document.hasIn(["agent", name])) left.push(`agent.${name}: ${path} has its own`);
    else document.setIn(["agent", name], value);
  }
  const names = new Set((own?.endpoints ?? []).map((endpoint) => endpoint.name));
  for (const endpoint of more.endpoints ?? []) {
    const name = String(endpoint["name"]);
    if (names.has(name)) left.push(`endpoints.${name}: ${path} has one of that name`);
    else if (document.has("endpoints")) document.addIn(["endpoints"], document.createNode(endpoint));
    else document.set("endpoints", document.createNode([endpoint]));
  }
  const text = document.toString();
  const { problems } = parseConfig(text);
  if (problems.length > 0) throw configError(problems.map(({ message }) => message).join("\n"));
  writePrivateFile(path, text);
  return left;
}

/** Stores a token for one relay origin; it is sent to that origin only. */
export function storeToken(path: string, origin: string, token: string): void {
  setConfigValue(path, ["tokens", origin], token);
}
