/** The hops in the order in which they are walked. */
export const HOPS = [
  "program",
  "configuration",
  "dns",
  "tcp",
  "proxy",
  "tls",
  "relay",
  "clock",
  "upgrade",
  "authentication",
  "round-trip",
  "local-port",
  "host-check",
  "inspector",
] as const;
/** One of {@link HOPS}. */
export type Hop = (typeof HOPS)[number];

/** What one hop came to. A warning keeps nothing from working; what stands behind a failure is not reached. */
export interface Finding {
  readonly hop: Hop;
  readonly status: "ok" | "warning" | "failed" | "skipped";
  /** What was found, one sentence. */
  readonly message: string;
  /** What to do about it. */
  readonly fix?: string;
  /** What a program ends with that fails here. */
  readonly exitCode?: number;
  /** The certificates of the hop, the server's own first. */
  readonly chain?: readonly CertificateView[];
}

/** One certificate, as far as it helps to see who stands in between. */
export interface CertificateView {
  readonly subject: string;
  readonly issuer: string;
  readonly validFrom: string;
  readonly validTo: string;
}

/** Exit codes by what failed, those of the command line. */
export const FailureExit = { Config: 3, Token: 4, Unreachable: 6, App: 7, Version: 8 } as const;

/** All is well on this hop. */
export function fine(hop: Hop, message: string): Finding {
  return { hop, status: "ok", message };
}

/** Nothing was done here, and why. */
export function skipped(hop: Hop, message: string): Finding {
  return { hop, status: "skipped", message };
}

/** Nothing fails for it, but it is worth knowing. */
export function warning(hop: Hop, message: string, fix: string): Finding {
  return { hop, status: "warning", message, fix };
}

/** This is where it breaks. */
export function failed(hop: Hop, message: string, fix: string, exitCode: number): Finding {
  return { hop, status: "failed", message, fix, exitCode };
}
