import { z } from "zod";

const text = z.string({ error: "must be text" }).min(1, "must not be empty");

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
      log: z.union([text, z.literal(false)], { error: "must be stdout, stderr, a file's path, or false" }).optional(),
      log_level: z.enum(["debug", "info", "warn", "error"], { error: "must be debug, info, warn or error" }).optional(),
      log_format: z.enum(["json", "logfmt", "term"], { error: "must be json, logfmt or term" }).optional(),
    })
    .optional(),
  endpoints: z
    .array(
      z.strictObject({
        name: text,
        url: text.optional(),
        upstream: z.strictObject({
          url: z.union([text, z.int().min(1).max(65_535)], { error: "must be a port or a URL" }),
        }),
        pooling_enabled: z.boolean({ error: "must be true or false" }).optional(),
      }),
    )
    .optional(),
  /** Written by `ggrok login`: relay origin → token. */
  tokens: z.record(z.string(), text).optional(),
});

/** One configuration file, validated. */
export type FileConfig = z.infer<typeof configSchema>;
