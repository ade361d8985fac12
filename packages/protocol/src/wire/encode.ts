import { GgrokError, type ResetCode } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import type { ControlMessage } from "../message/control.ts";
import { type OpenHead, openTuple, type ResponseHead } from "../message/exchange.ts";
import type { HeaderList } from "../message/headers.ts";
import { FRAME_HEADER_BYTES, FrameType, putFrameHeader } from "./frame.ts";

/** Of the credit in front of an OPEN head. */
const CREDIT_BYTES = 4;
/** Of one UTF-16 code unit. */
const UTF8_BYTES_MAX = 3;

/** The JSON of an OPEN head. @throws GgrokError ERR_GGROK_HEAD_INVALID when too large */
export function openText(head: OpenHead): string {
  return checkedText(JSON.stringify(openTuple(head)), CREDIT_BYTES);
}

/** The JSON of a HEAD. @throws GgrokError ERR_GGROK_HEAD_INVALID when too large */
export function responseText(head: ResponseHead): string {
  return checkedText(JSON.stringify([head.status, head.reason, head.fields]));
}

/** Most bytes that the payload of a head can take, without a look at its characters. */
export function mostHeadBytes(text: string): number {
  return CREDIT_BYTES + UTF8_BYTES_MAX * text.length;
}

/** The payload of a head by itself: `u32 credit` when it is an OPEN, then its text. */
export function encodeHeadText(text: string, credit: number | undefined): Buffer {
  if (credit === undefined) return Buffer.from(text);
  const payload = Buffer.allocUnsafe(CREDIT_BYTES + Buffer.byteLength(text));
  payload.writeUInt32BE(credit, 0);
  payload.write(text, CREDIT_BYTES, "utf8");
  return payload;
}

/** Payload of OPEN: `u32 credit`, then the head's JSON tuple. @throws GgrokError ERR_GGROK_HEAD_INVALID when too large */
export function encodeOpenPayload(credit: number, head: OpenHead): Buffer {
  return encodeHeadText(openText(head), credit);
}

/** Payload of HEAD. @throws GgrokError ERR_GGROK_HEAD_INVALID when too large */
export function encodeResponseHead(head: ResponseHead): Buffer {
  return encodeHeadText(responseText(head), undefined);
}

/** Payload of TRAILERS. @throws GgrokError ERR_GGROK_HEAD_INVALID when too large */
export function encodeTrailers(fields: HeaderList): Buffer {
  return Buffer.from(checkedText(JSON.stringify([fields])));
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

function checkedText(text: string, bytesBefore = 0): string {
  if (mostHeadBytes(text) <= LIMITS.FRAME_PAYLOAD_BYTES_MAX) return text;
  const bytes = bytesBefore + Buffer.byteLength(text);
  if (bytes <= LIMITS.FRAME_PAYLOAD_BYTES_MAX) return text;
  throw new GgrokError("ERR_GGROK_HEAD_INVALID", {
    message: `the head takes ${bytes} bytes, ${LIMITS.FRAME_PAYLOAD_BYTES_MAX} are allowed`,
  });
}
