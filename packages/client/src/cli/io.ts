import type { Output } from "./render.ts";

/** All that a command touches of its process. */
export interface Io extends Output {
  readonly stdin: NodeJS.ReadStream;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  /** Aborts at the first signal. */
  readonly stop: AbortSignal;
  /** Takes SIGHUP for something else than the end, as long as nobody's terminal is gone with it; returns what gives it back. */
  onHangup(listener: () => void): () => void;
}

/** Reads standard input to its end, for secrets that come through a pipe. */
export async function readAll(stdin: NodeJS.ReadStream, limitBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stdin) {
    const part = Buffer.from(chunk as Uint8Array);
    length += part.length;
    if (length > limitBytes) throw new Error(`more than ${limitBytes} bytes on standard input`);
    chunks.push(part);
  }
  return Buffer.concat(chunks).toString("utf8");
}
