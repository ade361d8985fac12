import type { LogFormat, LogLevel } from "../observability/logger.ts";
import type { Secret } from "../observability/secret.ts";
import { PLATFORM_RULES, type Platform } from "./platform.ts";
import type { ParsedSettings } from "./schema.ts";
import { parseNetwork } from "./values.ts";

/** The relay's configuration, checked and complete. */
export interface RelayConfig {
  readonly port: number;
  /** Undefined listens on all interfaces. */
  readonly bind: string | undefined;
  /** Wildcard mode when set. */
  readonly domain: string | undefined;
  /** Origin of printed URLs; undefined takes it from the request. */
  readonly publicUrl: string | undefined;
  readonly tokens: readonly Secret[];
  readonly adminToken: Secret | undefined;
  /** Undefined keeps tokens and reservations in memory. */
  readonly dataDir: string | undefined;
  readonly allowAnonymous: boolean;
  /** Networks whose forwarding fields are believed, as CIDRs. */
  readonly trustProxy: readonly string[];
  readonly platform: Platform;
  /** Trusted front ends begin their connections with a header of the PROXY protocol. */
  readonly proxyProtocol: boolean;
  /** The relay's own certificates; none leaves TLS to a front end. */
  readonly tls: readonly { readonly cert: string; readonly key: string }[];
  /** Raw public ports for TCP tunnels, both ends included. */
  readonly tcpPorts: readonly { readonly first: number; readonly last: number }[];
  readonly holdMs: number;
  readonly parkMs: number;
  readonly graceMs: number;
  /** Idle life of a visitor's connection; undefined leaves the relay's own limit. */
  readonly keepAliveMs: number | undefined;
  /** The front end's patience for a first byte; undefined when it has none. */
  readonly firstByteMs: number | undefined;
  readonly logFormat: LogFormat;
  readonly logLevel: LogLevel;
}

/** What the surroundings add to the settings. */
export interface Surroundings {
  platform: Platform;
  isTerminal: boolean;
}

/** Fills in what depends on other settings, on the platform and on the terminal. */
export function completeConfig(settings: ParsedSettings, around: Surroundings): RelayConfig {
  const platform = settings.platform ?? around.platform;
  const rules = PLATFORM_RULES[platform];
  // With a store tokens can come at any time.
  const isOpen = settings.token.length > 0 || settings["allow-anonymous"] || settings["data-dir"] !== undefined;
  return {
    port: settings.port,
    // Without a token nobody outside has business here, so nobody outside gets a connection.
    bind: settings.bind ?? (isOpen ? undefined : "127.0.0.1"),
    domain: settings.domain,
    publicUrl: settings["public-url"],
    tokens: settings.token,
    adminToken: settings["admin-token"],
    dataDir: settings["data-dir"],
    allowAnonymous: settings["allow-anonymous"],
    trustProxy: settings["trust-proxy"] ?? rules.trustProxy.flatMap((word) => parseNetwork(word) ?? []),
    platform,
    proxyProtocol: settings["proxy-protocol"],
    tls: settings["tls-cert"].map((cert, index) => ({ cert, key: settings["tls-key"][index] ?? "" })),
    tcpPorts: settings["tcp-ports"],
    holdMs: settings.hold,
    parkMs: settings.park,
    graceMs: settings.grace,
    keepAliveMs: rules.keepAliveMs,
    firstByteMs: rules.firstByteMs,
    logFormat: settings["log-format"] ?? (around.isTerminal ? "term" : "json"),
    logLevel: settings["log-level"],
  };
}
