import { GgrokError, isResetCode, ResetCode } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import { type ControlMessage, parseControl } from "../message/control.ts";
import {
  type OpenHead,
  parseOpenTuple,
  parseResponseTuple,
  parseTrailersTuple,
  type ResponseHead,
} from "../message/exchange.ts";
import type { HeaderList } from "../message/headers.ts";
import { parseWireJson } from "../message/parse.ts";
import { FLAG_FIN, FRAME_HEADER_BYTES, FRAME_TYPE_MAX, FrameType } from "./frame.ts";

/** Hears every frame of a message; `payload` is a view of it. */
export type FrameSink = (type: FrameType, flags: number, stream: number, payload: Buffer) => void;

/**
 * Cuts a WebSocket message into its frames. Bounds, type and flags are checked before a frame is handed over; what the
 * sink throws is passed on.
 *
 * @throws GgrokError ERR_GGROK_PROTOCOL_VIOLATION
 */
export function decodeMessage(message: Buffer, sink: FrameSink): void {
  const end = message.length;
  if (end === 0) throw violation("empty message");
  let at = 0;
  while (at < end) {
    if (end - at < FRAME_HEADER_BYTES) throw violation(`${end - at} bytes where a frame header was expected`);
    const length = message.readUInt32BE(at);
    const stream = message.readUInt32BE(at + 4);
    const type = message[at + 8] ?? 0;
    const flags = message[at + 9] ?? 0;
    at += FRAME_HEADER_BYTES;
    if (length > end - at) throw violation(`frame of ${length} bytes in a message with ${end - at} left`);
    if (type > FRAME_TYPE_MAX) throw violation(`unknown frame type ${type}`);
    if ((flags & ~FLAG_FIN) !== 0) throw violation(`unknown flags ${flags}`);
    const max = type === FrameType.Data ? LIMITS.DATA_BYTES_MAX : LIMITS.FRAME_PAYLOAD_BYTES_MAX;
    if (length > max) throw violation(`frame of ${length} bytes, ${max} are allowed`);
    sink(type as FrameType, flags, stream, message.subarray(at, at + length));
    at += length;
  }
}

/** Payload of OPEN. */
export function decodeOpenPayload(payload: Buffer): { credit: number; head: OpenHead } {
  if (payload.length < 4) throw violation("OPEN is too short");
  return { credit: payload.readUInt32BE(0), head: parseOpenTuple(parseWireJson(payload, 4)) };
}

/** Payload of HEAD. */
export function decodeResponseHead(payload: Buffer): ResponseHead {
  return parseResponseTuple(parseWireJson(payload));
}

/** Payload of TRAILERS. */
export function decodeTrailers(payload: Buffer): HeaderList {
  return parseTrailersTuple(parseWireJson(payload));
}

/** Payload of RESET. An unknown code reads as `internal`: a later minor version may have more. */
export function decodeReset(payload: Buffer): { code: ResetCode; notProcessed: boolean; message: string } {
  if (payload.length < 3 || payload.length > 3 + LIMITS.RESET_TEXT_BYTES_MAX)
    throw violation("RESET has a wrong length");
  const code = payload.readUInt16BE(0);
  return {
    code: isResetCode(code) ? code : ResetCode.Internal,
    notProcessed: ((payload[2] ?? 0) & 1) === 1,
    message: payload.toString("utf8", 3),
  };
}

/** Payload of WINDOW and ACK. */
export function decodeU48(payload: Buffer): number {
  if (payload.length !== 6) throw violation("a 48-bit number was expected");
  return payload.readUIntBE(0, 6);
}

/** Payload of GOAWAY. */
export function decodeGoAway(payload: Buffer): { lastId: number; code: ResetCode } {
  if (payload.length !== 6) throw violation("GOAWAY has a wrong length");
  const code = payload.readUInt16BE(4);
  return { lastId: payload.readUInt32BE(0), code: isResetCode(code) ? code : ResetCode.Internal };
}

/** Payload of CONTROL; undefined for a type this version does not know. */
export function decodeControl(payload: Buffer): ControlMessage | undefined {
  if (payload.length > LIMITS.CONTROL_BYTES_MAX) {
    throw violation(`CONTROL of ${payload.length} bytes, ${LIMITS.CONTROL_BYTES_MAX} are allowed`);
  }
  return parseControl(parseWireJson(payload));
}

/** A whole WebSocket message that must hold exactly one CONTROL frame: hello, welcome or refused. */
export function decodeControlMessage(message: Buffer): ControlMessage | undefined {
  let control: ControlMessage | undefined;
  let frames = 0;
  decodeMessage(message, (type, flags, stream, payload) => {
    frames += 1;
    if (frames > 1 || type !== FrameType.Control || flags !== 0 || stream !== 0) {
      throw violation("the handshake is one CONTROL frame each way");
    }
    control = decodeControl(payload);
  });
  return control;
}

function violation(message: string): GgrokError {
  return new GgrokError("ERR_GGROK_PROTOCOL_VIOLATION", { message });
}
