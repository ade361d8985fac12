import type { Socket } from "node:net";

/** How many of the first bytes are to be taken away, `more` when that is not certain yet, `break` to end the connection. */
export type StartVerdict = number | "more" | "break";

/**
 * Looks at the first bytes of a connection before its protocol does. What is not taken away goes back, and the socket is as if
 * nothing had been read. Resolves false when the connection is over: broken by the verdict, by its peer, or too slow.
 */
export function takeStart(socket: Socket, timeoutMs: number, judge: (start: Buffer) => StartVerdict): Promise<boolean> {
  return new Promise((resolve) => {
    let start: Buffer = Buffer.alloc(0);
    const finish = (isAlive: boolean): void => {
      clearTimeout(timer);
      socket.off("readable", onReadable);
      socket.off("close", onClose);
      if (!isAlive) socket.destroy();
      // The stream notices on the next tick that nobody waits for `readable` any more.
      process.nextTick(() => resolve(isAlive && !socket.destroyed));
    };
    const onClose = (): void => finish(false);
    const onReadable = (): void => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) {
        // The peer has finished without a word, or with half of one.
        if (socket.readableEnded) finish(false);
        return;
      }
      start = start.length === 0 ? chunk : Buffer.concat([start, chunk]);
      const verdict = judge(start);
      if (verdict === "more") return;
      if (verdict !== "break" && verdict < start.length) socket.unshift(start.subarray(verdict));
      finish(verdict !== "break");
    };
    const timer = setTimeout(() => finish(false), timeoutMs);
    // For good: between two owners a socket must not break the process.
    socket.on("error", ignore);
    socket.on("close", onClose);
    socket.on("readable", onReadable);
  });
}

function ignore(): void {}
