import { networkInterfaces } from "node:os";

/** How often the clocks are compared, milliseconds. A wake is noticed at the first check after it. */
const CHECK_INTERVAL_MS = 1_000;
/** Wall clock ahead of the monotonic one by more than this means that the machine slept, milliseconds. */
const SLEEP_THRESHOLD_MS = 5_000;

/** What the detector looks at; tests hand in their own. */
export interface WakeSource {
  wallMs(): number;
  monotonicMs(): number;
  /** Addresses of the machine, in one text. */
  network(): string;
}

/** Why a link deserves a question. */
export type WakeReason = "wake" | "network-changed";

/**
 * Compares two looks at the clocks and the network. Linux's monotonic clock stands still in suspend, so the wall clock
 * runs ahead of it; a clock set backwards is no wake. Where the monotonic clock runs on (macOS, Windows), the check
 * itself comes late, which `intervalMs` shows.
 */
export function createWakeDetector(
  source: WakeSource,
  intervalMs: number = CHECK_INTERVAL_MS,
): { check(): WakeReason | undefined } {
  let wall = source.wallMs();
  let monotonic = source.monotonicMs();
  let network = source.network();
  return {
    check() {
      const wallPassed = source.wallMs() - wall;
      const monotonicPassed = source.monotonicMs() - monotonic;
      const seen = source.network();
      const hasSlept =
        wallPassed - monotonicPassed > SLEEP_THRESHOLD_MS || monotonicPassed - intervalMs > SLEEP_THRESHOLD_MS;
      const hasMoved = seen !== network;
      wall += wallPassed;
      monotonic += monotonicPassed;
      network = seen;
      return hasSlept ? "wake" : hasMoved ? "network-changed" : undefined;
    },
  };
}

/** Calls back on every wake and network change until stopped; does not keep the process alive. */
export function watchWake(onWake: (reason: WakeReason) => void): { stop(): void } {
  const detector = createWakeDetector({
    wallMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    network: () => describeNetwork(),
  });
  const timer = setInterval(() => {
    const reason = detector.check();
    if (reason !== undefined) onWake(reason);
  }, CHECK_INTERVAL_MS);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}

function describeNetwork(): string {
  const addresses: string[] = [];
  for (const [name, list] of Object.entries(networkInterfaces())) {
    for (const item of list ?? []) {
      // Temporary IPv6 addresses come and go by themselves; the prefix says whether the network is the same.
      if (!item.internal)
        addresses.push(
          `${name} ${item.family === "IPv6" ? item.address.split(":").slice(0, 4).join(":") : item.address}`,
        );
    }
  }
  return [...new Set(addresses)].sort().join(" ");
}
