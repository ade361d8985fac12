/** Longest pause between two tries, milliseconds. */
export const MAX_BACKOFF_MS = 30_000;
/** The first try comes within this time, milliseconds: a relay that restarts is back in about that. */
export const FIRST_BACKOFF_MS = 1_000;

/**
 * Full-jitter back-off: a random time between nothing and a ceiling that doubles with each failure. Two hundred agents
 * that lose their relay at once come back spread out, not in waves.
 *
 * @param failures tries that failed since the last success
 * @param random in [0, 1)
 * @param atLeastMs what the relay asked for (`afterMs`, `Retry-After`); kept, with the jitter on top
 */
export function backoffDelayMs(failures: number, random: () => number, atLeastMs: number = 0): number {
  const ceiling = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(failures, 16));
  return (
    Math.min(MAX_BACKOFF_MS, Math.max(0, atLeastMs)) +
    Math.floor(random() * (atLeastMs > 0 ? FIRST_BACKOFF_MS : ceiling))
  );
}
