import type { RelayConfig } from "./config.ts";
import { SETTING_NAMES, SETTINGS, type SettingName } from "./schema.ts";
import { formatDuration } from "./values.ts";

/** The flag as `--help` and the documentation write it. */
export function flagOf(name: SettingName): string {
  const { value } = SETTINGS[name];
  return value === undefined ? `--${name}` : `--${name} <${value}>`;
}

/** The table of `docs/configuration.md`; a test compares the two. */
export function describeSettings(): string {
  const rows = SETTING_NAMES.map((name) => {
    const { env, fallback, text } = SETTINGS[name];
    return `| \`${flagOf(name)}\` | ${env.map((variable) => `\`${variable}\``).join(", ")} | ${fallback} | ${text} |`;
  });
  return ["| flag | environment | default | meaning |", "|---|---|---|---|", ...rows, ""].join("\n");
}

/** The effective configuration as `ggrok-relay check` prints it. Secrets print as `[redacted]` by themselves. */
export function describeConfig(config: RelayConfig): string {
  const rows: Record<SettingName, unknown> = {
    port: config.port,
    bind: config.bind ?? "all interfaces",
    domain: config.domain ?? "none (single-host mode)",
    "public-url": config.publicUrl ?? "from the request",
    token: config.tokens.length === 0 ? "none" : config.tokens.join(", "),
    "admin-token": config.adminToken ?? "none",
    "data-dir": config.dataDir ?? "none (kept in memory)",
    "allow-anonymous": config.allowAnonymous,
    "trust-proxy": config.trustProxy.join(", ") || "none",
    platform: config.platform,
    "proxy-protocol": config.proxyProtocol,
    "tls-cert": config.tls.map(({ cert }) => cert).join(", ") || "none",
    "tls-key": config.tls.map(({ key }) => key).join(", ") || "none",
    "tcp-ports": config.tcpPorts.map(({ first, last }) => `${String(first)}-${String(last)}`).join(", ") || "none",
    hold: formatDuration(config.holdMs),
    park: formatDuration(config.parkMs),
    grace: formatDuration(config.graceMs),
    "log-format": config.logFormat,
    "log-level": config.logLevel,
  };
  return `${SETTING_NAMES.map((name) => `${name}: ${String(rows[name])}`).join("\n")}\n`;
}
