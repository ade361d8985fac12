import { Socket } from "node:net";
import type { Duplex } from "node:stream";

/**
 * Joins two byte channels until both have ended: each direction with its own end, backpressure, and a break on one side is one
 * on the other.
 *
 * @returns settles when both are closed, with the error that broke them
 */
export function join(a: Duplex, b: Duplex): Promise<Error | undefined> {
  let failure: Error | undefined;
  const fail = (error: Error): void => {
    failure ??= error;
  };
  const carry = (from: Duplex, to: Duplex): Promise<void> => {
    from.on("data", (chunk: Buffer) => {
      if (!to.write(chunk)) from.pause();
    });
    to.on("drain", () => from.resume());
    from.on("end", () => to.end());
    from.on("error", fail);
    return new Promise((resolve) => {
      const onClose = (): void => {
        // Not after an orderly end in both directions.
        if (!from.readableEnded || !from.writableFinished) breakOff(to);
        resolve();
      };
      if (from.destroyed) onClose();
      else from.once("close", onClose);
    });
  };
  return Promise.all([carry(a, b), carry(b, a)]).then(() => failure);
}

/**
 * Ends a byte channel that did not come to its end so that the other side sees it: by RST where there is one, since FIN would
 * say that all has been said.
 */
export function breakOff(channel: Duplex): void {
  if (channel.destroyed) return;
  // TCP alone has a reset. Node throws for the asking at a Unix socket, and TLS is a layer of its own above it.
  const isTcp = channel instanceof Socket && channel.constructor === Socket && channel.remoteFamily !== undefined;
  if (isTcp) channel.resetAndDestroy();
  else channel.destroy();
}
