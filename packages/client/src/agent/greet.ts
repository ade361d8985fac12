import {
  decodeControlMessage,
  ERRORS,
  type ErrorCode,
  encodeControlMessage,
  GgrokError,
  type Hello,
  type Transport,
  type TransportHandler,
  type Welcome,
} from "@ggrok/protocol";
import { DialError } from "./dial.ts";

/** From hello to welcome, milliseconds. */
const WELCOME_TIMEOUT_MS = 10_000;
const DEAF: TransportHandler = { onMessage() {}, onDrain() {}, onClose() {} };

/**
 * Says hello on a new connection and waits for the answer. `onWelcome` runs inside the call that delivered the message,
 * so the session it attaches misses none that follow.
 */
export function greet(
  transport: Transport,
  hello: Hello,
  onWelcome: (welcome: Welcome) => void,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const release = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    };
    const fail = (error: unknown): void => {
      release();
      transport.handler = DEAF;
      transport.destroy();
      reject(error);
    };
    const abort = (): void => fail(signal.reason);
    const timer = setTimeout(
      () => fail(retryable(`the relay sent no welcome within ${WELCOME_TIMEOUT_MS / 1_000} s`)),
      WELCOME_TIMEOUT_MS,
    );
    signal.addEventListener("abort", abort, { once: true });
    transport.handler = {
      onMessage(message) {
        try {
          const answer = decodeControlMessage(message);
          if (answer === undefined) return;
          if (answer.type === "refused") {
            const code = asErrorCode(answer.code) ?? "ERR_GGROK_RELAY_UNREACHABLE";
            const supported =
              answer.supported === undefined || code !== "ERR_GGROK_VERSION_UNSUPPORTED"
                ? ""
                : ` (the relay speaks ${answer.supported.join(", ")})`;
            const error = new GgrokError(code, { message: `${answer.message}${supported}` });
            fail(
              new DialError(error, {
                isFinal: answer.retry === "never",
                ...(answer.afterMs !== undefined && { afterMs: answer.afterMs }),
              }),
            );
          } else if (answer.type === "welcome") {
            onWelcome(answer);
            release();
            resolve();
          } else fail(retryable(`the relay answered hello with ${answer.type}`));
        } catch (cause) {
          fail(cause instanceof DialError ? cause : retryable("the relay's welcome cannot be used", cause));
        }
      },
      onDrain() {},
      onClose(code, reason) {
        fail(
          retryable(`the relay closed the connection before its welcome (${code}${reason === "" ? "" : ` ${reason}`})`),
        );
      },
    };
    transport.send(encodeControlMessage(hello));
    transport.flush();
    if (signal.aborted) abort();
  });
}

/** A code of the relay as one of ours; undefined when this version does not know it. */
export function asErrorCode(code: string): ErrorCode | undefined {
  return Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : undefined;
}

function retryable(message: string, cause?: unknown): DialError {
  const error = new GgrokError("ERR_GGROK_RELAY_UNREACHABLE", { message, ...(cause !== undefined && { cause }) });
  return new DialError(error, { isFinal: false });
}
