import type { IncomingMessage } from "node:http";
import { RELAY_LIMITS } from "../limits.ts";

/**
 * Reads and drops the rest of an upload whose answer is out, for a while. Closing at once would make the kernel answer
 * the upload with a RST, which can take the answer from the visitor's hands; reading for ever would be free transit.
 */
export function linger(req: IncomingMessage): void {
  if (req.complete || req.destroyed) return;
  req.resume();
  const timer = setTimeout(() => req.destroy(), RELAY_LIMITS.lingerMs).unref();
  const stop = (): void => clearTimeout(timer);
  req.once("end", stop);
  req.socket.once("close", stop);
}
