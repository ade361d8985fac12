import { z } from "zod";
import { Secret } from "../observability/secret.ts";
import { address, duration, flag, hostname, networks, originUrl, portRanges, wholeNumber } from "./values.ts";

/** One setting: everything a flag, a variable, a file key, `--help` and the documentation know of it. */
interface Setting<T> {
  /** Name of the value in `--help`; undefined for a switch. */
  readonly value: string | undefined;
  /** Environment variables, the specific one first: it beats the generic one. */
  readonly env: readonly [string, ...string[]];
  /** The default in words. */
  readonly fallback: string;
  readonly text: string;
  /** A list: the flag repeats, the variable is comma separated. */
  readonly list?: boolean;
  /** May be given as `env:NAME` or `file:PATH`, and is never printed. */
  readonly secret?: boolean;
  readonly schema: z.ZodType<T, unknown>;
}

const secret: z.ZodType<Secret, unknown> = z
  .string({ error: "must be text" })
  .regex(/^[\u0021-\u007e]+$/u, { error: "must be visible ASCII without spaces" })
  .transform((value) => new Secret(value));

const files: z.ZodType<string[], unknown> = z.array(z.string({ error: "must be a file" }).min(1));

function setting<T>(value: Setting<T>): Setting<T> {
  return value;
}

/**
 * Every setting of the relay, in the order of the documentation. The key is the flag without dashes and the key of the
 * configuration file.
 */
export const SETTINGS = {
  port: setting({
    value: "port",
    env: ["GGROK_PORT", "PORT"],
    fallback: "8080",
    text: "the one public port: visitors, agents and administration all enter here; 0 picks a free one",
    schema: wholeNumber(65_535).default(8080),
  }),
  bind: setting({
    value: "address",
    env: ["GGROK_BIND"],
    fallback: "all interfaces; loopback when no token is configured",
    text: "the address to listen on",
    schema: address.optional(),
  }),
  domain: setting({
    value: "domain",
    env: ["GGROK_DOMAIN"],
    fallback: "none",
    text: "wildcard mode: tunnels live at NAME.DOMAIN, the relay itself at DOMAIN",
    schema: hostname.optional(),
  }),
  "public-url": setting({
    value: "url",
    env: ["GGROK_PUBLIC_URL"],
    fallback: "from the request",
    text: "scheme and host of printed URLs when a front end terminates TLS",
    schema: originUrl.optional(),
  }),
  token: setting({
    value: "token",
    env: ["GGROK_TOKEN"],
    fallback: "none",
    text: "a static token with which agents may bind and connect; repeatable, comma separated in the environment",
    list: true,
    secret: true,
    schema: z.array(secret).default([]),
  }),
  "admin-token": setting({
    value: "token",
    env: ["GGROK_ADMIN_TOKEN"],
    fallback: "none: metrics and the admin API are off, unless the store has an admin token",
    text: "the token that may read metrics and use the admin API",
    secret: true,
    schema: secret.optional(),
  }),
  "data-dir": setting({
    value: "folder",
    env: ["GGROK_DATA_DIR"],
    fallback: "none: tokens and reservations are kept in memory",
    text: "where tokens and reserved names are kept, in an embedded SQLite database",
    schema: z.string({ error: "must be a folder" }).min(1).optional(),
  }),
  "allow-anonymous": setting({
    value: undefined,
    env: ["GGROK_ALLOW_ANONYMOUS"],
    fallback: "false",
    text: "take agents without a token from anywhere: whoever reaches the relay can publish through it",
    schema: flag.default(false),
  }),
  "trust-proxy": setting({
    value: "cidrs",
    env: ["GGROK_TRUST_PROXY"],
    fallback: "loopback, or what the platform needs",
    text: "networks whose X-Forwarded-* fields are believed: CIDRs, loopback, private or none; repeatable or comma separated",
    list: true,
    schema: networks.optional(),
  }),
  platform: setting({
    value: "name",
    env: ["GGROK_PLATFORM"],
    fallback: "detected: heroku, fly, else none",
    text: "sets the trust-proxy, keep-alive and first-byte rules of the platform",
    schema: z.enum(["none", "heroku", "fly"], { error: "must be none, heroku or fly" }).optional(),
  }),
  "proxy-protocol": setting({
    value: undefined,
    env: ["GGROK_PROXY_PROTOCOL"],
    fallback: "false",
    text: "trusted front ends begin their connections with a header of the PROXY protocol, version 1 or 2",
    schema: flag.default(false),
  }),
  "tls-cert": setting({
    value: "file",
    env: ["GGROK_TLS_CERT"],
    fallback: "none: TLS is a front end's work",
    text: "certificate of the relay's own, PEM, its chain behind it; read again when it changes; repeatable, one for each name",
    list: true,
    schema: files.default([]),
  }),
  "tls-key": setting({
    value: "file",
    env: ["GGROK_TLS_KEY"],
    fallback: "none",
    text: "the key of each certificate, in the same order",
    list: true,
    schema: files.default([]),
  }),
  "tcp-ports": setting({
    value: "range",
    env: ["GGROK_TCP_PORTS"],
    fallback: "none: TCP tunnels are reached by name only",
    text: "raw public ports for TCP tunnels, such as 20000-20100; repeatable or comma separated",
    list: true,
    schema: portRanges.default([]),
  }),
  hold: setting({
    value: "duration",
    env: ["GGROK_HOLD"],
    fallback: "30s",
    text: "how long the names of a lost session stay its own",
    schema: duration.default(30_000),
  }),
  park: setting({
    value: "duration",
    env: ["GGROK_PARK"],
    fallback: "10s",
    text: "how long a request waits for an agent that is away",
    schema: duration.default(10_000),
  }),
  grace: setting({
    value: "duration",
    env: ["GGROK_GRACE"],
    fallback: "25s",
    text: "longest drain; platforms kill at 30 s",
    schema: duration.default(25_000),
  }),
  "log-format": setting({
    value: "format",
    env: ["GGROK_LOG_FORMAT"],
    fallback: "term on a terminal, else json",
    text: "term for people, json for machines",
    schema: z.enum(["term", "json"], { error: "must be term or json" }).optional(),
  }),
  "log-level": setting({
    value: "level",
    env: ["GGROK_LOG_LEVEL"],
    fallback: "info",
    text: "trace, debug, info, warn, error, fatal or silent",
    schema: z
      .enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"], {
        error: "must be trace, debug, info, warn, error, fatal or silent",
      })
      .default("info"),
  }),
} as const;

/** The name of a setting. */
export type SettingName = keyof typeof SETTINGS;
export const SETTING_NAMES = Object.keys(SETTINGS) as readonly SettingName[];

type Shape = { [Name in SettingName]: (typeof SETTINGS)[Name]["schema"] };

/** The one schema: unknown keys are errors, every problem is reported. */
export const configSchema = z
  .strictObject(Object.fromEntries(SETTING_NAMES.map((name) => [name, SETTINGS[name].schema])) as Shape)
  .superRefine((settings, context) => {
    const { "tls-cert": certificates, "tls-key": keys } = settings;
    if (certificates.length === keys.length) return;
    const message = `${String(certificates.length)} certificates and ${String(keys.length)} keys: each certificate needs its key`;
    context.addIssue({ code: "custom", path: [certificates.length > 0 ? "tls-cert" : "tls-key"], message });
  });

/** Settings as the schema gives them, before platform and terminal have filled the rest. */
export type ParsedSettings = z.output<typeof configSchema>;
