/** WebSocket subprotocol; a later, incompatible version is offered beside it and never redefines it. */
export const PROTOCOL = "ggrok.v1";
/** Subprotocols this build speaks, best first; named in refusals. */
export const SUPPORTED_PROTOCOLS: readonly string[] = [PROTOCOL];
/** Minor version, for logs; what changes meaning is a capability. */
export const PROTOCOL_VERSION = "1.0";
/** Capabilities this build knows. Unknown ones of the peer are ignored. */
export const CAPABILITIES = {
  /** A session survives its connection: messages are counted and sent again (protocol.md section 8). */
  Resume: "resume",
} as const;
