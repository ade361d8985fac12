import { errorCodeOfReset, GgrokError, ResetCode, type ResponseHead, type StreamReset } from "@ggrok/protocol";
import { StreamDuplex } from "../stream-duplex.ts";

/**
 * A connection through a TCP tunnel. Emits `connect` when the app has taken it, and `close` in any case; a reset is an
 * error whose `code` says why.
 */
export class MuxDuplex extends StreamDuplex {
  constructor() {
    super({
      resetCode: ResetCode.VisitorLeft,
      errorOfReset,
      errorOfLateWrite: () => new GgrokError("ERR_GGROK_SESSION_LOST"),
    });
  }

  onHead(head: ResponseHead, fin: boolean): void {
    if (head.status !== 200) {
      this.destroy(new GgrokError("ERR_GGROK_PROTOCOL_VIOLATION", { message: `a TCP tunnel answered ${head.status}` }));
      return;
    }
    this.emit("connect");
    if (fin) this.endReading();
  }
}

/** The failure a RESET stands for, with the other end's words where they say more than the table. */
function errorOfReset(reset: StreamReset): GgrokError {
  const code = errorCodeOfReset(reset.code);
  const row = new GgrokError(code);
  const isTold = reset.message !== "" && reset.message !== row.message;
  return isTold ? new GgrokError(code, { message: `${row.message} (${reset.message})` }) : row;
}
