import { z } from "zod";
import { createNetworkTest, networks } from "../config/values.ts";

const MAX_NETWORKS = 256;

// Strict: a rule that is not understood must not be a rule that is not kept.
const rulesSchema = z.strictObject({
  /** Whoever reaches the relay may connect by name, with or without a token. */
  public: z.boolean().default(false),
  cidrAllow: networks.pipe(z.array(z.string()).max(MAX_NETWORKS)).optional(),
  cidrDeny: networks.pipe(z.array(z.string()).max(MAX_NETWORKS)).optional(),
  /** The public port of last time. */
  port: z.int().min(1).max(65_535).optional(),
});

/** Who may connect to a TCP tunnel, as its agent said when it bound it. */
export interface TcpRules {
  /** Equal for equal rules: those who share a tunnel must have the same. */
  readonly key: string;
  readonly isPublic: boolean;
  /** The public port the agent had last time; a wish. */
  readonly formerPort: number | undefined;
  /** Whether a visitor with this address may connect. An unknown address may not where there are rules. */
  allows(address: string | undefined): boolean;
}

/** Reads the options of a bind; a sentence for the agent's user when they cannot be used. */
export function parseTcpRules(options: unknown): TcpRules | string {
  const parsed = rulesSchema.safeParse(options ?? {});
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    return `the option ${issue?.path.join(".") ?? ""} ${issue?.message ?? "cannot be used"}`;
  }
  const { cidrAllow, cidrDeny, port } = parsed.data;
  const isAllowed = cidrAllow === undefined ? undefined : createNetworkTest(cidrAllow);
  const isDenied = cidrDeny === undefined ? undefined : createNetworkTest(cidrDeny);
  return {
    key: JSON.stringify([parsed.data.public, cidrAllow?.toSorted(), cidrDeny?.toSorted()]),
    isPublic: parsed.data.public,
    formerPort: port,
    allows(address) {
      if (isDenied !== undefined && (address === undefined || isDenied(address))) return false;
      return isAllowed === undefined || isAllowed(address);
    },
  };
}
