import { ResetCode } from "@ggrok/protocol";

/** A failure between the agent and the app whose meaning for the visitor is known where it happens. */
export class UpstreamError extends Error {
  readonly resetCode: ResetCode;

  constructor(resetCode: ResetCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = "UpstreamError";
    this.resetCode = resetCode;
  }
}

const MEANING: Readonly<Record<string, ResetCode>> = {
  ECONNREFUSED: ResetCode.UpstreamRefused,
  ECONNRESET: ResetCode.UpstreamReset,
  EPIPE: ResetCode.UpstreamReset,
  UND_ERR_SOCKET: ResetCode.UpstreamReset,
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: ResetCode.UpstreamReset,
  UND_ERR_HEADERS_OVERFLOW: ResetCode.UpstreamMalformed,
  UND_ERR_INVALID_ARG: ResetCode.Protocol,
  UND_ERR_NOT_SUPPORTED: ResetCode.Protocol,
  ERR_INVALID_CHAR: ResetCode.Protocol,
  ERR_INVALID_HTTP_TOKEN: ResetCode.Protocol,
  ERR_UNESCAPED_CHARACTERS: ResetCode.Protocol,
  ETIMEDOUT: ResetCode.UpstreamTimeout,
};

/** What an error of the HTTP clients means for the visitor. An unknown one ended the connection: the app reset it. */
export function resetCodeOfError(error: unknown): ResetCode {
  if (error instanceof UpstreamError) return error.resetCode;
  const code = errorCode(error);
  // The parser's errors of both clients; and undici's words for an interim or switching answer nobody asked for.
  if (code.startsWith("HPE_") || (error instanceof Error && error.name === "HTTPParserError"))
    return ResetCode.UpstreamMalformed;
  if (code === "UND_ERR_SOCKET" && error instanceof Error && /^bad (response|upgrade)$/.test(error.message)) {
    return ResetCode.UpstreamMalformed;
  }
  return MEANING[code] ?? ResetCode.UpstreamReset;
}

/** The system's or library's code of an error, for a RESET's text: no address of the user's network leaves with it. */
export function errorCode(error: unknown): string {
  if (error instanceof UpstreamError) return error.message;
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

/** Methods of RFC 9110 9.2.2 that may be sent again without asking. */
const IDEMPOTENT_METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "DELETE", "PUT"]);

/** Whether doing it twice is the same as doing it once. */
export function isIdempotent(method: string): boolean {
  return IDEMPOTENT_METHODS.has(method);
}

/** Whether undici gave up because of a 100 (Continue) that no Expect had asked for. */
export function isUnaskedContinue(error: unknown): boolean {
  return errorCode(error) === "UND_ERR_SOCKET" && error instanceof Error && error.message === "bad response";
}

/**
 * Whether a request may be sent again after its kept connection ended with `error`: an app closes an idle connection when it
 * likes, also at the moment it is used again. The caller knows that no byte of an answer came and that there was no body.
 */
export function isSafeToRepeat(method: string, error: unknown): boolean {
  if (!IDEMPOTENT_METHODS.has(method) || error instanceof UpstreamError) return false;
  return resetCodeOfError(error) === ResetCode.UpstreamReset;
}
