import { z } from "zod";

/** What a token may do: publish through the relay, reach its TCP tunnels, administer it. */
const SCOPES = ["bind", "connect", "admin"] as const;
export type Scope = (typeof SCOPES)[number];

/** Kinds of tunnels a token may bind. */
const KINDS = ["http", "tcp"] as const;
export type Kind = (typeof KINDS)[number];

// Matching stays cheap whatever an agent asks for.
const MAX_WILDCARDS = 4;
const MAX_GLOB_CHARACTERS = 256;
/** Globs of one kind in one token. */
const MAX_GLOBS = 100;
const MAX_PORT = 65_535;

const glob = z
  .string()
  .regex(/^[\u0021-\u007e]+$/u, { error: "must be visible ASCII without spaces" })
  .max(MAX_GLOB_CHARACTERS)
  .refine((text) => (text.match(/\*+/gu)?.length ?? 0) <= MAX_WILDCARDS, {
    error: `must not have more than ${String(MAX_WILDCARDS)} wildcards`,
  });
const globs = z.array(glob).min(1).max(MAX_GLOBS);
const port = z.int().min(1).max(MAX_PORT);

/** The rights of a token; what is left out is not restricted. */
export const grantSchema = z.strictObject({
  scopes: z
    .array(z.enum(SCOPES))
    .min(1)
    .default(["bind", "connect"])
    .describe("bind: publish; connect: reach TCP tunnels; admin: metrics and this API"),
  names: globs
    .default(["*"])
    .describe("globs over names; without a dot below the relay's domain, with a dot over whole hosts"),
  paths: globs.default(["/**"]).describe("globs over path prefixes; the whole host is /"),
  kinds: z
    .array(z.enum(KINDS))
    .min(1)
    .default([...KINDS]),
  ports: z
    .array(
      z.tuple([port, port]).refine(([first, last]) => first <= last, { error: "a range begins with its lower end" }),
    )
    .min(1)
    .max(MAX_GLOBS)
    .default([[1, MAX_PORT]])
    .describe("ranges of public TCP ports, both ends included"),
});

/** The rights of a token. */
export type Grant = Readonly<z.output<typeof grantSchema>>;

/** Everything below the relay's domain. Hosts outside it need a glob that names them. */
export const FULL_GRANT: Grant = grantSchema.parse({});
