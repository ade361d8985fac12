import { z } from "zod";
import { createNetworkTest, networks } from "../config/values.ts";
import type { Rate } from "./address-buckets.ts";
import { createPathTest } from "./path-glob.ts";

const MAX_NETWORKS = 256;
const MAX_USERS = 64;
const MAX_GLOBS = 64;
/** Of all globs together, since each request is compared with each of them. */
const MAX_GLOB_CHARACTERS = 4_096;

const cidrs = networks.pipe(z.array(z.string()).max(MAX_NETWORKS));

// Strict: a rule that is not understood must not be a rule that is not kept.
const rulesSchema = z.strictObject({
  basicAuth: z
    .strictObject({
      salt: z.base64url().length(22),
      hashes: z.array(z.base64url().length(43)).min(1).max(MAX_USERS),
    })
    .optional(),
  passAuthorization: z.boolean().optional(),
  cidrAllow: cidrs.optional(),
  cidrDeny: cidrs.optional(),
  rateLimit: z
    .strictObject({ perSecond: z.number().positive().max(1e6), burst: z.number().min(1).max(1e6) })
    .optional(),
  open: z
    .array(z.string().min(1).max(512).startsWith("/"))
    .max(MAX_GLOBS)
    .refine((globs) => globs.join("").length <= MAX_GLOB_CHARACTERS, "too long, all globs together")
    .optional(),
});

/** Whom a tunnel of HTTP lets in, as its agent said when it bound it. */
export interface VisitorRules {
  /** Equal for equal rules: those who share an endpoint must have the same. */
  readonly key: string;
  readonly credentials: { readonly salt: Buffer; readonly hashes: readonly Buffer[] } | undefined;
  /** The app may see the Authorization field that let the visitor in. */
  readonly passesAuthorization: boolean;
  readonly rate: Rate | undefined;
  /** Whether a visitor with this address may come in at all. */
  allows(address: string): boolean;
  /** Whether this path is exempt from logging in. */
  isOpen(target: string): boolean;
}

/** Reads the options of a bind: undefined for none, a sentence for the agent's user when they cannot be used. */
export function parseVisitorRules(options: unknown): VisitorRules | string | undefined {
  if (options === undefined) return undefined;
  const parsed = rulesSchema.safeParse(options);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    return `the option ${issue?.path.join(".") ?? ""} cannot be used: ${issue?.message ?? ""}`;
  }
  const { basicAuth, passAuthorization, cidrAllow, cidrDeny, rateLimit, open } = parsed.data;
  const isAllowed = cidrAllow === undefined ? undefined : createNetworkTest(cidrAllow);
  const isDenied = cidrDeny === undefined ? undefined : createNetworkTest(cidrDeny);
  const hashes = basicAuth?.hashes.toSorted();
  return {
    key: JSON.stringify([
      basicAuth?.salt,
      hashes,
      passAuthorization === true,
      cidrAllow?.toSorted(),
      cidrDeny?.toSorted(),
      rateLimit?.perSecond,
      rateLimit?.burst,
      open?.toSorted(),
    ]),
    credentials:
      basicAuth === undefined
        ? undefined
        : {
            salt: Buffer.from(basicAuth.salt, "base64url"),
            hashes: basicAuth.hashes.map((hash) => Buffer.from(hash, "base64url")),
          },
    passesAuthorization: passAuthorization === true,
    rate: rateLimit,
    allows: (address) => isDenied?.(address) !== true && isAllowed?.(address) !== false,
    isOpen: createPathTest(open ?? []),
  };
}
