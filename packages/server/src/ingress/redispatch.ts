import { type ErrorCode, errorCodeOfReset, type StreamReset } from "@ggrok/protocol";

const SAFE_METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "QUERY"]);

/** Methods that change nothing at the app (RFC 9110 9.2.1). */
export function isSafeMethod(method: string): boolean {
  return SAFE_METHODS.has(method);
}

/** What is known of an exchange whose stream was reset before its final head. */
export interface BrokenExchange {
  readonly kind: "http" | "upgrade";
  readonly method: string;
  /** Body bytes have come, or are still to come. */
  readonly hasBody: boolean;
  /** Everything that was sent on the stream can be sent again. */
  readonly isBodyWhole: boolean;
  /** The visitor got something already: an interim head. */
  readonly hasAnswered: boolean;
  /** Times the exchange was given to a session, this one included. */
  readonly attempts: number;
  /** Times it was sent again although an app may have seen it. */
  readonly safeRetries: number;
}

/** Bounds of {@link decideAfterReset}. */
export interface RedispatchLimits {
  maxAttempts: number;
  safeRetries: number;
}

/** What becomes of the exchange: `again` certainly reached no app, `retry` may have and does no harm. */
export type Decision = "again" | "retry" | ErrorCode;

/** The rules of docs/protocol.md 9: what may be sent again when a stream ends without an answer. */
export function decideAfterReset(broken: BrokenExchange, reset: StreamReset, limits: RedispatchLimits): Decision {
  const code = errorCodeOfReset(reset.code);
  if (broken.hasAnswered || broken.attempts >= limits.maxAttempts) return code;
  if (reset.notProcessed) return broken.isBodyWhole ? "again" : code;
  // The peer said itself what happened: the app was asked, or could not be.
  if (!reset.local || code !== "ERR_GGROK_SESSION_LOST") return code;
  const isHarmless = broken.kind === "upgrade" || (isSafeMethod(broken.method) && !broken.hasBody);
  return isHarmless && broken.safeRetries < limits.safeRetries ? "retry" : code;
}
