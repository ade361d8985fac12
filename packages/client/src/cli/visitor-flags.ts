import { InvalidArgumentError } from "@commander-js/extra-typings";
import { parseCidr, parsePathGlob, parseRateLimit, parseUsers, type VisitorPlan } from "../config/visitor-plan.ts";
import { parseFlag } from "./exit-codes.ts";

/** Flags that say whom a tunnel of HTTP lets in. */
export interface VisitorFlags {
  readonly basicAuth?: readonly string[];
  readonly basicAuthPass?: boolean;
  readonly cidrAllow?: readonly string[];
  readonly cidrDeny?: readonly string[];
  readonly rateLimit?: string;
  readonly open?: readonly string[];
}

/** Reads them, secrets included; undefined when none was given. */
export function readVisitorFlags(flags: VisitorFlags, env: NodeJS.ProcessEnv): VisitorPlan {
  const { basicAuth = [], basicAuthPass, cidrAllow = [], cidrDeny = [], rateLimit, open = [] } = flags;
  return {
    ...(basicAuth.length > 0 && {
      basicAuth: basicAuth.flatMap((text) => parseFlag("--basic-auth", () => parseUsers(text, env))),
    }),
    ...(basicAuthPass === true && { basicAuthPass }),
    ...(cidrAllow.length > 0 && { cidrAllow }),
    ...(cidrDeny.length > 0 && { cidrDeny }),
    ...(rateLimit !== undefined && { rateLimit: parseFlag("--rate-limit", () => parseRateLimit(rateLimit)) }),
    ...(open.length > 0 && { open }),
  };
}

/** Collects a repeatable option as it is. */
export function appendText(text: string, before: readonly string[]): readonly string[] {
  return [...before, text];
}

/** Collects a repeatable or comma separated option of networks. */
export function appendCidrs(text: string, before: readonly string[]): readonly string[] {
  return [...before, ...checked(() => text.split(",").map((item) => parseCidr(item.trim())))];
}

/** Collects a repeatable or comma separated option of path globs. */
export function appendGlobs(text: string, before: readonly string[]): readonly string[] {
  return [...before, ...checked(() => text.split(",").map((item) => parsePathGlob(item.trim())))];
}

function checked<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}
