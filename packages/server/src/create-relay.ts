import type { Writable } from "node:stream";
import { GgrokError } from "@ggrok/protocol";
import { loadConfig } from "./config/load.ts";
import type { SettingName } from "./config/schema.ts";
import { type Relay, startRelay } from "./relay.ts";

/** Settings of {@link createRelay}: those of `ggrok-relay`, in camel case. Durations are texts such as `30s`. */
export interface RelayOptions {
  /** 0, the default here, picks a free port. */
  port?: number;
  bind?: string;
  domain?: string;
  publicUrl?: string;
  token?: string | readonly string[];
  adminToken?: string;
  dataDir?: string;
  allowAnonymous?: boolean;
  trustProxy?: string | readonly string[];
  platform?: "none" | "heroku" | "fly";
  proxyProtocol?: boolean;
  tlsCert?: string | readonly string[];
  tlsKey?: string | readonly string[];
  tcpPorts?: string | readonly string[];
  hold?: string;
  park?: string;
  grace?: string;
  logFormat?: "term" | "json";
  /** `silent` unless given: a library does not write to its host's terminal. */
  logLevel?: "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "silent";
  /** Where log lines go instead of standard output. */
  logDestination?: Writable;
}

const OPTION_OF: Readonly<Record<SettingName, Exclude<keyof RelayOptions, "logDestination">>> = {
  port: "port",
  bind: "bind",
  domain: "domain",
  "public-url": "publicUrl",
  token: "token",
  "admin-token": "adminToken",
  "data-dir": "dataDir",
  "allow-anonymous": "allowAnonymous",
  "trust-proxy": "trustProxy",
  platform: "platform",
  "proxy-protocol": "proxyProtocol",
  "tls-cert": "tlsCert",
  "tls-key": "tlsKey",
  "tcp-ports": "tcpPorts",
  hold: "hold",
  park: "park",
  grace: "grace",
  "log-format": "logFormat",
  "log-level": "logLevel",
};

/**
 * Starts a relay in this process and resolves when it listens. The environment is not read: what is not given has its
 * default, except that the port is free and the log silent.
 *
 * @throws GgrokError ERR_GGROK_CONFIG_INVALID naming every setting that is wrong
 */
export function createRelay(options: RelayOptions = {}): Promise<Relay> {
  const given: RelayOptions = {
    port: 0,
    logLevel: options.logDestination === undefined ? "silent" : "info",
    ...options,
  };
  const flags = Object.fromEntries(Object.entries(OPTION_OF).map(([name, option]) => [name, given[option]]));
  const { config, problems } = loadConfig({ flags, env: {}, isTerminal: false });
  if (problems !== undefined) {
    const message = problems.map(({ key, message: text }) => `${key.replace(/^--/u, "")} ${text}`).join("; ");
    return Promise.reject(new GgrokError("ERR_GGROK_CONFIG_INVALID", { message }));
  }
  return startRelay(config, options.logDestination === undefined ? {} : { logDestination: options.logDestination });
}
