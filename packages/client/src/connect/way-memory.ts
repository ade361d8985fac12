import { z } from "zod";
import { readState, writeState } from "../config/state-file.ts";

const WAYS_FILE = "connect-ways.json";

/** How a relay's TCP tunnels are reached through its one port. */
export type ConnectWay = "connect" | "upgrade";

const waysSchema = z.record(z.string(), z.enum(["connect", "upgrade"]));

/** The way that worked last time for this relay; undefined when none is known. */
export function recallWay(stateDir: string, relayOrigin: string): ConnectWay | undefined {
  const ways = load(stateDir);
  return Object.hasOwn(ways, relayOrigin) ? ways[relayOrigin] : undefined;
}

/** Keeps the way that worked. */
export function rememberWay(stateDir: string, relayOrigin: string, way: ConnectWay): void {
  const ways = load(stateDir);
  if (ways[relayOrigin] !== way) writeState(stateDir, WAYS_FILE, { ...ways, [relayOrigin]: way });
}

function load(stateDir: string): Record<string, ConnectWay> {
  const parsed = waysSchema.safeParse(readState(stateDir, WAYS_FILE));
  return parsed.success ? parsed.data : {};
}
