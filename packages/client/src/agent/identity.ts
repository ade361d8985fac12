import { createHmac, randomBytes } from "node:crypto";
import { readFileSync, realpathSync } from "node:fs";
import { hostname } from "node:os";
import { z } from "zod";
import { readState, writeState } from "../config/state-file.ts";

const SECRET_FILE = "agent-secret.json";
const secretSchema = z.object({ secret: z.string().min(32) });

/**
 * The id under which this machine and folder own names at one relay: 256 bits, the same at every start. The machine is
 * mixed in because home folders are cloned and shared, the relay because the id is a secret there, and one relay must
 * not learn what another one believes.
 */
export function loadAgentId(options: {
  stateDir: string;
  folder: string;
  relayOrigin: string;
  machine?: string;
}): string {
  return createHmac("sha256", loadSecret(options.stateDir))
    .update([options.machine ?? machineIdentity(), canonicalFolder(options.folder), options.relayOrigin].join("\0"))
    .digest("base64url");
}

/** A folder under its real name, so that a symbolic link to it is the same folder. */
export function canonicalFolder(folder: string): string {
  try {
    return realpathSync(folder);
  } catch {
    return folder;
  }
}

function loadSecret(stateDir: string): string {
  const known = secretSchema.safeParse(readState(stateDir, SECRET_FILE));
  if (known.success) return known.data.secret;
  const secret = randomBytes(32).toString("base64url");
  writeState(stateDir, SECRET_FILE, { secret });
  // Two first starts at once: the file holds one of the two secrets, and both use that one.
  const kept = secretSchema.safeParse(readState(stateDir, SECRET_FILE));
  return kept.success ? kept.data.secret : secret;
}

function machineIdentity(): string {
  for (const path of ["/etc/machine-id", "/var/lib/dbus/machine-id"]) {
    try {
      const id = readFileSync(path, "utf8").trim();
      if (id !== "") return id;
    } catch {
      // Not on this platform; the host's name has to do.
    }
  }
  return hostname();
}
