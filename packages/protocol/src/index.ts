export {
  ERRORS,
  type ErrorCode,
  type ErrorRow,
  errorCodeOfReset,
  GgrokError,
  isResetCode,
  ResetCode,
} from "./errors.ts";
export { LIMITS } from "./limits.ts";
export type {
  Bind,
  BindRefused,
  Bound,
  ControlMessage,
  Drain,
  Hello,
  Refused,
  Unbind,
  Unbound,
  Welcome,
} from "./message/control.ts";
export type { HttpOpenHead, OpenHead, OpenMeta, ResponseHead, TcpOpenHead } from "./message/exchange.ts";
export {
  getField,
  getFields,
  type HeaderList,
  isFieldValue,
  isTarget,
  isToken,
  removeHopByHop,
  validateFields,
} from "./message/headers.ts";
export { MemoryBudget, MemoryLevel } from "./mux/memory-budget.ts";
export type { MuxStream, StreamHandler, StreamReset } from "./mux/mux-stream.ts";
export { Session, type SessionHandler, type SessionOptions, type SessionState } from "./mux/session.ts";
export { corkTurn } from "./transport/cork-turn.ts";
export { createMemoryLink, type MemoryTransport } from "./transport/memory.ts";
export { DEAF_HANDLER, type Transport, type TransportHandler } from "./transport/transport.ts";
export { createWebSocketTransport } from "./transport/websocket.ts";
export { CAPABILITIES, PROTOCOL, PROTOCOL_VERSION, SUPPORTED_PROTOCOLS } from "./version.ts";
export {
  decodeControl,
  decodeControlMessage,
  decodeGoAway,
  decodeMessage,
  decodeOpenPayload,
  decodeReset,
  decodeResponseHead,
  decodeTrailers,
  decodeU48,
  type FrameSink,
} from "./wire/decode.ts";
export {
  encodeControl,
  encodeControlMessage,
  encodeGoAway,
  encodeOpenPayload,
  encodeReset,
  encodeResponseHead,
  encodeTrailers,
  encodeU48,
} from "./wire/encode.ts";
export { FLAG_FIN, FRAME_HEADER_BYTES, FrameType, putFrameHeader } from "./wire/frame.ts";
