import { type MuxStream, ResetCode } from "@ggrok/protocol";
import { StreamDuplex } from "../stream-duplex.ts";

/**
 * Takes a stream that a visitor of a TCP tunnel opened as a connection of a client.
 *
 * @param hasEnded the visitor ended its direction as it opened the stream
 */
export function acceptStream(stream: MuxStream, hasEnded: boolean): StreamDuplex {
  const duplex = new StreamDuplex({
    resetCode: ResetCode.UpstreamReset,
    errorOfReset: () => Object.assign(new Error("the visitor broke off"), { code: "ECONNRESET" }),
    errorOfLateWrite: () => Object.assign(new Error("the visitor has left"), { code: "EPIPE" }),
  });
  duplex.attach(stream);
  stream.handler = duplex;
  stream.dispatched = true;
  stream.sendHead({ status: 200, reason: "", fields: [] });
  if (hasEnded) duplex.endReading();
  return duplex;
}
