import { GgrokError, type ResetCode } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import type { ControlMessage } from "../message/control.ts";
import { type OpenHead, openTuple, type ResponseHead } from "../message/exchange.ts";
import type { HeaderList } from "../message/headers.ts";
import { FRAME_HEADER_BYTES, FrameType, putFrameHeader } from "./frame.ts";

/** Payload of OPEN: `u32 credit`, then the head's JSON tuple. @throws GgrokError ERR_GGROK_HEAD_INVALID when too large */
export function encodeOpenPayload(credit: number, head: OpenHead): Buffer {
  const json = JSON.stringify(openTuple(head));
  const payload = Buffer.allocUnsafe(4 + Buffer.byteLength(json));
  payload.writeUInt32BE(credit, 0);
  payload.write(json, 4, "utf8");
  return checked(payload);
}

/** Payload of HEAD. @throws GgrokError ERR_GGROK_HEAD_INVALID when too large */
export function encodeResponseHead(head: ResponseHead): Buffer {
  return checked(Buffer.from(JSON.stringify([head.status, head.reason, head.fields])));
}

/** Payload of TRAILERS. @throws GgrokError ERR_GGROK_HEAD_INVALID when too large */
export function encodeTrailers(fields: HeaderList): Buffer {
  return checked(Buffer.from(JSON.stringify([fields])));
}

/** Payload of RESET: `u16 code | u8 facts | text`, the text cut to its limit at a character's edge. */
export function encodeReset(code: ResetCode, facts: number, message: string): Buffer {
  let text = Buffer.from(message);
  if (text.length > LIMITS.RESET_TEXT_BYTES_MAX) {
    let end: number = LIMITS.RESET_TEXT_BYTES_MAX;
    while (end > 0 && ((text[end] ?? 0) & 0xc0) === 0x80) end -= 1;
    text = text.subarray(0, end);
  }
  const payload = Buffer.allocUnsafe(3 + text.length);
  payload.writeUInt16BE(code, 0);
  payload[2] = facts;
  text.copy(payload, 3);
  return payload;
}

/** Payload of WINDOW and ACK. */
export function encodeU48(value: number): Buffer {
  const payload = Buffer.allocUnsafe(6);
  payload.writeUIntBE(value, 0, 6);
  return payload;
}

/** Payload of GOAWAY: `u32 last id I opened | u16 code`. */
export function encodeGoAway(lastId: number, code: ResetCode): Buffer {
  const payload = Buffer.allocUnsafe(6);
  payload.writeUInt32BE(lastId, 0);
  payload.writeUInt16BE(code, 4);
  return payload;
}

/** Payload of CONTROL. */
export function encodeControl(message: ControlMessage): Buffer {
  const payload = Buffer.from(JSON.stringify(message));
  if (payload.length <= LIMITS.CONTROL_BYTES_MAX) return payload;
  throw new GgrokError("ERR_GGROK_CONFIG_INVALID", {
    message: `a ${message.type} message takes ${payload.length} bytes, ${LIMITS.CONTROL_BYTES_MAX} are allowed`,
  });
}

/** A whole WebSocket message with one CONTROL frame: hello, welcome or refused. */
export function encodeControlMessage(message: ControlMessage): Buffer {
  const payload = encodeControl(message);
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.length);
  putFrameHeader(frame, 0, FrameType.Control, 0, 0, payload.length);
  payload.copy(frame, FRAME_HEADER_BYTES);
  return frame;
}

function checked(payload: Buffer): Buffer {
  if (payload.length <= LIMITS.FRAME_PAYLOAD_BYTES_MAX) return payload;
  throw new GgrokError("ERR_GGROK_HEAD_INVALID", {
    message: `the head takes ${payload.length} bytes, ${LIMITS.FRAME_PAYLOAD_BYTES_MAX} are allowed`,
  });
}
