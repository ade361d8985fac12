import { z } from "zod";
import { parseSize } from "./values.ts";

const text = z.string({ error: "must be text" }).min(1, "must not be empty");

const flag = z.boolean({ error: "must be true or false" });
const port = z.int().min(1).max(65_535);
/** What the page shows in good time. */
const HISTORY_EXCHANGES_MAX = 10_000;
const EXCHANGES_ERROR = `must be a whole number from 1 to ${HISTORY_EXCHANGES_MAX}`;
const headers = z.strictObject({ add: z.array(text).optional(), remove: z.array(text).optional() });

/** A size between two others. */
function size(least: string, most: string): z.ZodType<string> {
  const error = `must be a size from ${least} to ${most}, such as 100MiB`;
  return z.string({ error }).refine((value) => isSizeBetween(value, least, most), { error });
}

function isSizeBetween(value: string, least: string, most: string): boolean {
  try {
    const bytes = parseSize(value);
    return bytes >= parseSize(least) && bytes <= parseSize(most);
  } catch {
    return false;
  }
}

/** One tunnel of the configuration file: ngrok's keys, and below them those of our flags. */
const endpointSchema = z.strictObject({
  name: text,
  url: text.optional(),
  upstream: z.strictObject({
    url: z.union([text, port], { error: "must be a port or a URL" }),
    proxy_protocol: z.union([z.literal(1), z.literal(2)], { error: "must be 1 or 2" }).optional(),
    host_header: text.optional(),
    tls_verify: flag.optional(),
    tls_ca: text.optional(),
  }),
  pooling_enabled: flag.optional(),
  inspect: flag.optional(),
  timeout: text.optional(),
  mounts: z.record(z.string(), z.union([text, port], { error: "must be a port or a URL" })).optional(),
  strip_prefix: flag.optional(),
  request_headers: headers.optional(),
  response_headers: headers.optional(),
  public: flag.optional(),
  cidr_allow: z.array(text).optional(),
  cidr_deny: z.array(text).optional(),
  basic_auth: z.array(text).optional(),
  basic_auth_pass: flag.optional(),
  rate_limit: text.optional(),
  open: z.array(text).optional(),
  verify_webhook: z.array(text).optional(),
  verify_webhook_mode: z.enum(["enforce", "report"], { error: "must be enforce or report" }).optional(),
});

/** One tunnel of the configuration file, validated. */
export type FileEndpoint = z.infer<typeof endpointSchema>;

/**
 * The configuration file: the shape of ngrok's version 3 plus `relay`. Strict, because a key that is silently ignored is
 * a setting its author believes in.
 */
export const configSchema = z.strictObject({
  version: z.union([z.literal(3), z.literal("3")], { error: "must be 3" }).optional(),
  relay: text.optional(),
  proxy: text.optional(),
  ca: text.optional(),
  agent: z
    .strictObject({
      authtoken: text.optional(),
      web_addr: z
        .union([text, z.int().min(0).max(65_535), z.literal(false)], { error: "must be host:port, or false" })
        .optional(),
      /** How much of the recorded exchanges is kept. */
      history: z
        .strictObject({
          size: size("1MiB", "1024GiB").optional(),
          exchanges: z
            .int({ error: EXCHANGES_ERROR })
            .min(1, EXCHANGES_ERROR)
            .max(HISTORY_EXCHANGES_MAX, EXCHANGES_ERROR)
            .optional(),
          // A replay has the body in memory.
          body_size: size("0B", "1GiB").optional(),
        })
        .optional(),
      log: z.union([text, z.literal(false)], { error: "must be stdout, stderr, a file's path, or false" }).optional(),
      log_level: z.enum(["debug", "info", "warn", "error"], { error: "must be debug, info, warn or error" }).optional(),
      log_format: z.enum(["json", "logfmt", "term"], { error: "must be json, logfmt or term" }).optional(),
    })
    .optional(),
  endpoints: z.array(endpointSchema).optional(),
  /** Written by `ggrok login`: relay origin → token. */
  tokens: z.record(z.string(), text).optional(),
});

/** One configuration file, validated. */
export type FileConfig = z.infer<typeof configSchema>;
