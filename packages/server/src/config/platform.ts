/** Where the relay runs, as far as that changes its defaults. */
export type Platform = "none" | "heroku" | "fly";

/** What a platform's front end demands of the relay behind it. */
export interface PlatformRules {
  /** Networks the platform's front end speaks from; nobody else reaches the process there. */
  readonly trustProxy: readonly string[];
  /** How long an idle connection of the front end is kept. It must outlive the front end's own patience. */
  readonly keepAliveMs: number | undefined;
  /** The front end gives up on a first byte after a little more than this; ours is the better error. */
  readonly firstByteMs: number | undefined;
}

/** One row per platform; the addresses are those the vendors document. */
export const PLATFORM_RULES: Readonly<Record<Platform, PlatformRules>> = {
  none: { trustProxy: ["loopback"], keepAliveMs: undefined, firstByteMs: undefined },
  // Router 2.0 keeps idle connections for 90 s and cuts an answer whose first byte is later than 30 s.
  heroku: { trustProxy: ["loopback", "private"], keepAliveMs: 95_000, firstByteMs: 28_000 },
  // fly-proxy speaks from the machine's private networks; its idle timeout is ours to set in fly.toml (600 s there).
  fly: { trustProxy: ["loopback", "172.16.0.0/12", "fdaa::/16"], keepAliveMs: 620_000, firstByteMs: undefined },
};

/** The platform by the variables it sets for every process. */
export function detectPlatform(env: Readonly<Record<string, string | undefined>>): Platform {
  if (env["FLY_APP_NAME"] !== undefined && env["FLY_MACHINE_ID"] !== undefined) return "fly";
  return env["DYNO"] !== undefined ? "heroku" : "none";
}
