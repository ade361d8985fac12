const PSEUDONYM = /^1\.[01] ggrok(?: \(([^)]*)\))?$/u;

/** The Via entry of this relay (RFC 9110 7.6.3). The comment tells relays of one name apart. */
export function viaOf(version: "1.0" | "1.1", relayId: string): string {
  return `${version} ggrok (${relayId})`;
}

/** Bounds of {@link isLoop}. */
export interface LoopLimits {
  /** Passes of one request through this relay. */
  maxOwnPasses: number;
  /** Passes of one request through relays of any name. */
  maxRelays: number;
}

/**
 * Whether a request came round in a circle, by its Via values. One pass through the same relay is no circle yet: an app
 * behind one tunnel may call another tunnel of the same relay and hand the fields on.
 */
export function isLoop(via: readonly string[], relayId: string, limits: LoopLimits): boolean {
  let own = 0;
  let relays = 0;
  for (const value of via) {
    for (const entry of value.split(",")) {
      const match = PSEUDONYM.exec(entry.trim());
      if (match === null) continue;
      relays += 1;
      if (match[1] === relayId) own += 1;
    }
  }
  return own >= limits.maxOwnPasses || relays >= limits.maxRelays;
}
