import { createHash } from "node:crypto";
import { z } from "zod";
import type { FileConfig } from "./schema.ts";
import { readState, writeState } from "./state-file.ts";

const TRUST_FILE = "trusted-projects.json";
const trustSchema = z.record(z.string(), z.string());

/** What in a project file deserves a question: it decides where this machine connects, whom it believes, what it shows. */
export function sensitiveSettings(config: FileConfig): string[] {
  const found: string[] = [];
  if (config.relay !== undefined) found.push(`relay: ${config.relay}`);
  if (config.proxy !== undefined) found.push(`proxy: ${config.proxy}`);
  if (config.ca !== undefined) found.push(`ca: ${config.ca}`);
  for (const endpoint of config.endpoints ?? []) {
    const url = String(endpoint.upstream.url);
    for (const target of [url, ...Object.values(endpoint.mounts ?? {}).map(String)])
      if (/^(file|unix):/i.test(target.trim())) found.push(`endpoint ${endpoint.name}: ${target}`);
    const ca = endpoint.upstream.tls_ca;
    if (ca !== undefined) found.push(`endpoint ${endpoint.name}: upstream.tls_ca: ${ca}`);
  }
  return found;
}

/** True when exactly these settings were confirmed for this folder before; a changed file asks again. */
export function isTrustedProject(stateDir: string, folder: string, settings: readonly string[]): boolean {
  const known = trustSchema.safeParse(readState(stateDir, TRUST_FILE));
  return known.success && Object.hasOwn(known.data, folder) && known.data[folder] === digest(settings);
}

/** Remembers the answer "yes" for this folder and these settings. */
export function trustProject(stateDir: string, folder: string, settings: readonly string[]): void {
  const known = trustSchema.safeParse(readState(stateDir, TRUST_FILE));
  const entries = new Map(known.success ? Object.entries(known.data) : []);
  entries.set(folder, digest(settings));
  writeState(stateDir, TRUST_FILE, Object.fromEntries(entries));
}

function digest(settings: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(settings)).digest("base64url");
}
