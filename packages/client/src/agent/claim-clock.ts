import { uptime } from "node:os";

/** Tells how long ago the user's start was, in milliseconds. */
export interface ClaimClock {
  ageMs(): number;
}

/**
 * Age of this agent's claim, from a clock that runs while the machine sleeps (`os.uptime`): with one that stands still,
 * an agent that slept a night would look younger than the one that took its name over in the meantime.
 */
export function createClaimClock(uptimeSeconds: () => number = uptime): ClaimClock {
  const start = uptimeSeconds();
  return { ageMs: () => Math.max(0, Math.round((uptimeSeconds() - start) * 1_000)) };
}
