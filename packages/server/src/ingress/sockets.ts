import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { RELAY_LIMITS } from "../limits.ts";

const dead = new WeakSet<Duplex>();

/**
 * Whether the connection was answered for the last time. Node hands out requests that were pipelined behind a refused
 * one all the same; they must not be served.
 */
export function isDead(socket: Duplex): boolean {
  return dead.has(socket);
}

/** Nothing that still comes on this connection is to be served. */
export function markDead(socket: Duplex): void {
  dead.add(socket);
}

/**
 * Sends what is left and closes. What the visitor still sends is read and dropped for a moment: closing a socket with
 * unread bytes makes the kernel send a RST, which can take the answer from the visitor's hands.
 */
export function closeGently(socket: Duplex, last?: Buffer): void {
  markDead(socket);
  if (socket.destroyed) return;
  socket.on("error", ignore);
  if (socket.writable) socket.end(last);
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), RELAY_LIMITS.closeLingerMs);
  socket.once("close", () => clearTimeout(timer));
}

/** Breaks a connection so that the other end sees it even where the end of the connection is the end of the body. */
export function breakConnection(socket: Duplex): void {
  // Only plain TCP can be reset; a TLS connection without its closing alert is visibly broken as it is.
  if (socket instanceof Socket && socket.constructor === Socket) socket.resetAndDestroy();
  else socket.destroy();
}

/** Listener for errors that `close` reports anyway. */
export function ignore(): void {}
