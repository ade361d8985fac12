import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";

/**
 * Requests that a visitor sends ahead of the answers. Each waits for its turn before it costs anything beyond its head,
 * and the connection is not read meanwhile: else one connection could open a stream for every few bytes it sends. The price: that such a visitor leaves shows only
 * at the next write.
 */
export class Pipeline {
  readonly #waiting = new WeakMap<Socket, number>();

  /**
   * Calls `serve` when the connection is at this response, or `drop` when that can no longer happen; exactly one of them.
   */
  wait(res: ServerResponse, socket: Socket, serve: () => void, drop: () => void): void {
    this.#waiting.set(socket, (this.#waiting.get(socket) ?? 0) + 1);
    // After what was read already: Node resumes the socket itself at the end of every request it parses.
    process.nextTick(() => this.#pause(socket));
    res.once("close", drop);
    res.once("socket", () => {
      const left = (this.#waiting.get(socket) ?? 1) - 1;
      this.#waiting.set(socket, left);
      if (left === 0) socket.resume();
      // Node is still handing the connection over.
      process.nextTick(() => {
        if (res.destroyed || socket.destroyed) return;
        res.off("close", drop);
        serve();
      });
    });
  }

  #pause(socket: Socket): void {
    if ((this.#waiting.get(socket) ?? 0) > 0) socket.pause();
  }
}
