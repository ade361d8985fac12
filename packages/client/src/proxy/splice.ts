import type { Duplex } from "node:stream";
import { join } from "../join.ts";

/** What went through a joined pair of connections. */
export interface SpliceCount {
  bytesIn: number;
  bytesOut: number;
}

/** Joins two connections until both have ended, and counts. */
export function splice(client: Duplex, upstream: Duplex): Promise<SpliceCount> {
  const count: SpliceCount = { bytesIn: 0, bytesOut: 0 };
  client.on("data", (chunk: Buffer) => {
    count.bytesIn += chunk.length;
  });
  upstream.on("data", (chunk: Buffer) => {
    count.bytesOut += chunk.length;
  });
  const done = join(client, upstream);
  // They may have been stopped behind the request and its answer.
  client.resume();
  upstream.resume();
  return done.then(() => count);
}
