import type { Writable } from "node:stream";

/**
 * Holds back what is written to a socket until the callback that runs now has ended: the slices of a burst leave in one system
 * call instead of one each.
 */
export function corkTurn(socket: Writable): void {
  if (socket.writableCorked > 0) return;
  socket.cork();
  process.nextTick(uncork, socket);
}

function uncork(socket: Writable): void {
  socket.uncork();
}
