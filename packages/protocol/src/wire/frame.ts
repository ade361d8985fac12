/** Frame types, protocol.md section 3. The numbers are wire format: never reuse one. */
export const FrameType = {
  Open: 0,
  Head: 1,
  Data: 2,
  Trailers: 3,
  Reset: 4,
  Window: 5,
  Ping: 6,
  Pong: 7,
  GoAway: 8,
  Control: 9,
  Ack: 10,
} as const;
/** One of {@link FrameType}. */
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

/** Highest known frame type. */
export const FRAME_TYPE_MAX = FrameType.Ack;
/** Nothing of this direction follows but RESET and WINDOW. The only flag. */
export const FLAG_FIN = 1;
/** `u32 length | u32 stream | u8 type | u8 flags`, in bytes. */
export const FRAME_HEADER_BYTES = 10;

/**
 * Writes a frame header.
 *
 * @returns the offset behind it
 */
export function putFrameHeader(
  buffer: Buffer,
  offset: number,
  type: FrameType,
  flags: number,
  stream: number,
  payloadLength: number,
): number {
  buffer.writeUInt32BE(payloadLength, offset);
  buffer.writeUInt32BE(stream, offset + 4);
  buffer[offset + 8] = type;
  buffer[offset + 9] = flags;
  return offset + FRAME_HEADER_BYTES;
}
