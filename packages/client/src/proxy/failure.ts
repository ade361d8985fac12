import { type ErrorCode, GgrokError } from "@ggrok/protocol";

/** Why a connection could not be had. */
export type FailureKind =
  | "name-unknown"
  | "refused"
  | "unreachable"
  | "timeout"
  | "reset"
  | "tls"
  | "login"
  | "declined"
  | "malformed"
  | "forbidden";

/** Which part of the way failed: the other proxy, or what lies behind it. */
export type FailedHop = "proxy" | "destination";

/** Reply codes of SOCKS5, RFC 1928 section 6. */
export const SocksReply = {
  Succeeded: 0,
  Failure: 1,
  NotAllowed: 2,
  NetworkUnreachable: 3,
  HostUnreachable: 4,
  Refused: 5,
  TtlExpired: 6,
  CommandUnsupported: 7,
  AddressUnsupported: 8,
} as const;
/** One of {@link SocksReply}. */
export type SocksReply = (typeof SocksReply)[keyof typeof SocksReply];

/** A connection that could not be had, with the hop and the reason. The message names no secret. */
export class WayError extends Error {
  readonly hop: FailedHop;
  readonly kind: FailureKind;
  /** What another SOCKS proxy answered. */
  readonly reply: number | undefined;

  constructor(hop: FailedHop, kind: FailureKind, message: string, o: { cause?: unknown; reply?: number } = {}) {
    super(message, o.cause === undefined ? undefined : { cause: o.cause });
    this.name = "WayError";
    this.hop = hop;
    this.kind = kind;
    this.reply = o.reply;
  }
}

const CODE_OF_DESTINATION: Readonly<Record<FailureKind, ErrorCode>> = {
  "name-unknown": "ERR_GGROK_DESTINATION_UNKNOWN",
  refused: "ERR_GGROK_DESTINATION_UNREACHABLE",
  unreachable: "ERR_GGROK_DESTINATION_UNREACHABLE",
  timeout: "ERR_GGROK_DESTINATION_TIMEOUT",
  reset: "ERR_GGROK_DESTINATION_RESET",
  tls: "ERR_GGROK_DESTINATION_RESET",
  login: "ERR_GGROK_UPSTREAM_PROXY_FAILED",
  declined: "ERR_GGROK_UPSTREAM_PROXY_FAILED",
  malformed: "ERR_GGROK_DESTINATION_MALFORMED",
  forbidden: "ERR_GGROK_DESTINATION_FORBIDDEN",
};

const REPLY_OF_DESTINATION: Readonly<Record<FailureKind, SocksReply>> = {
  "name-unknown": SocksReply.HostUnreachable,
  refused: SocksReply.Refused,
  unreachable: SocksReply.NetworkUnreachable,
  timeout: SocksReply.TtlExpired,
  reset: SocksReply.Failure,
  tls: SocksReply.Failure,
  login: SocksReply.Failure,
  declined: SocksReply.Failure,
  malformed: SocksReply.Failure,
  forbidden: SocksReply.NotAllowed,
};

/** The failure as HTTP clients get to see it. */
export function toGgrokError(error: unknown): GgrokError {
  if (error instanceof GgrokError) return error;
  if (!(error instanceof WayError)) return new GgrokError("ERR_GGROK_INTERNAL", { cause: error });
  const code = error.hop === "proxy" ? "ERR_GGROK_UPSTREAM_PROXY_FAILED" : CODE_OF_DESTINATION[error.kind];
  return new GgrokError(code, { message: error.message, cause: error });
}

/** The failure as SOCKS clients get to see it: another SOCKS proxy's own words where it gave some. */
export function toSocksReply(error: unknown): SocksReply {
  if (!(error instanceof WayError)) return SocksReply.Failure;
  const passed = Object.values(SocksReply).find((reply) => reply === error.reply && reply !== SocksReply.Succeeded);
  if (passed !== undefined) return passed;
  return error.hop === "proxy" ? SocksReply.Failure : REPLY_OF_DESTINATION[error.kind];
}

const KIND_OF_SYSTEM_CODE: Readonly<Record<string, FailureKind>> = {
  ENOTFOUND: "name-unknown",
  EAI_AGAIN: "name-unknown",
  EAI_NODATA: "name-unknown",
  EAI_NONAME: "name-unknown",
  ECONNREFUSED: "refused",
  ENETUNREACH: "unreachable",
  EHOSTUNREACH: "unreachable",
  EADDRNOTAVAIL: "unreachable",
  ETIMEDOUT: "timeout",
  ECONNRESET: "reset",
  EPIPE: "reset",
};

/** What an error of the system means; `fallback` where it is none of its well-known ones. */
export function kindOfError(error: unknown, fallback: FailureKind): FailureKind {
  if (error instanceof AggregateError && error.errors.length > 0) return kindOfError(error.errors.at(-1), fallback);
  return KIND_OF_SYSTEM_CODE[systemCode(error)] ?? fallback;
}

/** The system's code of an error, or nothing. */
export function systemCode(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}
