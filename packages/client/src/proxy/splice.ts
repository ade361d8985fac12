import type { Duplex } from "node:stream";
import { cut } from "./answer.ts";

/** What went through a joined pair of connections. */
export interface SpliceCount {
  bytesIn: number;
  bytesOut: number;
}

/**
 * Joins two connections until both have ended. Each direction ends on its own; where one side breaks off, the other
 * breaks off too.
 */
export function splice(client: Duplex, upstream: Duplex): Promise<SpliceCount> {
  const count: SpliceCount = { bytesIn: 0, bytesOut: 0 };
  client.on("data", (chunk: Buffer) => {
    count.bytesIn += chunk.length;
  });
  upstream.on("data", (chunk: Buffer) => {
    count.bytesOut += chunk.length;
  });
  const done = Promise.all([ended(client, upstream), ended(upstream, client)]);
  client.pipe(upstream);
  upstream.pipe(client);
  return done.then(() => count);
}

function ended(side: Duplex, other: Duplex): Promise<void> {
  return new Promise((resolve) => {
    side.on("error", () => {});
    const onClose = (): void => {
      if (!side.readableEnded || !side.writableFinished) cut(other);
      resolve();
    };
    if (side.destroyed) onClose();
    else side.once("close", onClose);
  });
}
