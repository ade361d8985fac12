import type { Duplex } from "node:stream";

/** A message together with the bytes it took; undefined while some are missing. */
export type Parsed<T> = (T & { readonly length: number }) | undefined;

/**
 * Reads one message from the front of a stream and puts back what lies behind it.
 *
 * @param parse gets all bytes so far. It may throw, which rejects
 * @param limitBytes above it, or at the stream's end, the promise rejects
 */
export function readMessage<T>(
  source: Duplex,
  parse: (bytes: Buffer) => Parsed<T>,
  limitBytes: number,
  signal: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let bytes: Buffer = Buffer.alloc(0);
    const stop = (): void => {
      source.off("readable", onReadable).off("end", onEnd).off("close", onEnd).off("error", fail);
      signal.removeEventListener("abort", onAbort);
    };
    const fail = (error: unknown): void => {
      stop();
      reject(error);
    };
    const onAbort = (): void => fail(signal.reason);
    const onEnd = (): void => fail(Object.assign(new Error("the connection was closed"), { code: "ECONNRESET" }));
    const onReadable = (): void => {
      for (let chunk = source.read() as Buffer | null; chunk !== null; chunk = source.read() as Buffer | null) {
        bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
        let parsed: Parsed<T>;
        try {
          parsed = parse(bytes);
        } catch (error) {
          fail(error);
          return;
        }
        if (parsed !== undefined) {
          stop();
          if (parsed.length < bytes.length) source.unshift(bytes.subarray(parsed.length));
          resolve(parsed);
          return;
        }
        if (bytes.length > limitBytes) {
          fail(new Error(`more than ${limitBytes} bytes and still no end`));
          return;
        }
      }
    };
    if (signal.aborted) {
      onAbort();
      return;
    }
    signal.addEventListener("abort", onAbort, { once: true });
    source.on("readable", onReadable).on("end", onEnd).on("close", onEnd).on("error", fail);
  });
}
