import type { Finding } from "./signed-message.ts";

/** How far a timestamp may be off, as the providers' own libraries have it. */
export const TOLERANCE_S = 300;

/** Reads a timestamp in seconds; undefined when it is none. */
export function parseSeconds(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,12}$/.test(text) ? Number(text) : undefined;
}

/**
 * Judges the age of a signature that matches; undefined: it is recent.
 *
 * @param o.mayBeAhead the provider's library does not mind a timestamp in the future
 */
export function judgeAge(
  seconds: number,
  nowMs: number,
  o: { toleranceS?: number; mayBeAhead?: boolean } = {},
): Finding | undefined {
  const tolerance = o.toleranceS ?? TOLERANCE_S;
  const age = Math.floor(nowMs / 1_000) - seconds;
  if (age > tolerance) return skew(`it was signed ${age} s ago, ${tolerance} s are allowed`);
  if (-age > tolerance && o.mayBeAhead !== true)
    return skew(`it was signed ${-age} s ahead of this machine's clock, ${tolerance} s are allowed`);
  return undefined;
}

function skew(reason: string): Finding {
  return { verdict: "skew", reason: `the signature matches, but ${reason}` };
}
