import type { Socket } from "node:net";
import { carrierOf } from "../connection/carrier.ts";
import type { Stallable, StallWatch } from "./stall-watch.ts";

/**
 * Finds out whether a connection that is not read has been reset: a write of no bytes sends nothing, and fails where the
 * kernel knows that the other end is gone. What waits to be written finds out by itself. An encrypted connection does not
 * pass such a write on, so the one below it is asked.
 */
export function probeReset(socket: Socket): void {
  if (socket.writable && socket.writableLength === 0) carrierOf(socket).write("");
}

/** Looks after a connection while it is paused: without reading nothing else says that nobody is there any more. */
export class ResetProbe implements Stallable {
  stallSlot = -1;
  readonly #socket: Socket;

  constructor(socket: Socket, stalls: StallWatch) {
    this.#socket = socket;
    socket.on("pause", () => stalls.add(this));
    socket.on("resume", () => stalls.remove(this));
    socket.on("close", () => stalls.remove(this));
  }

  checkStall(): void {
    probeReset(this.#socket);
  }
}
