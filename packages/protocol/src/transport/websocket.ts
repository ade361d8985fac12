import { randomFillSync } from "node:crypto";
import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import { DEAF_HANDLER, type Transport, type TransportHandler } from "./transport.ts";

/** FIN and opcode 2, RFC 6455 section 5.2. */
const FINAL_BINARY = 0x82;
const MASK_BIT = 0x80;
/** Random bytes fetched at once for masking keys. */
const KEY_POOL_BYTES = 8_192;
/** Masked payloads start here in their buffer: behind the longest frame header, and aligned for 32-bit words. */
const MASKED_OFFSET = 16;

const keyPool = Buffer.alloc(KEY_POOL_BYTES);
let keyPoolUsed = KEY_POOL_BYTES;

/**
 * A WebSocket that is open, as a {@link Transport}. Frames are written to the socket beside `ws`, which keeps receiving,
 * the closing handshake and pings: a message of two parts goes out without being joined.
 *
 * @param ws open, without extensions
 * @param socket the connection beneath it
 * @param side the dialler masks what it sends (RFC 6455 section 5.3)
 */
export function createWebSocketTransport(ws: WebSocket, socket: Duplex, side: "dialler" | "listener"): Transport {
  return new WebSocketTransport(ws, socket, side === "dialler");
}

class WebSocketTransport implements Transport {
  handler: TransportHandler = DEAF_HANDLER;
  readonly #ws: WebSocket;
  readonly #socket: Duplex;
  readonly #isMasking: boolean;
  #isCorked = false;
  #isOver = false;

  constructor(ws: WebSocket, socket: Duplex, isMasking: boolean) {
    this.#ws = ws;
    this.#socket = socket;
    this.#isMasking = isMasking;
    ws.binaryType = "nodebuffer";
    ws.on("message", (data, isBinary) => {
      if (this.#isOver) return;
      if (!isBinary) this.#end(1003, "text message");
      else this.handler.onMessage(data as Buffer);
    });
    ws.on("close", (code, reason) => {
      if (this.#isOver) return;
      this.#isOver = true;
      this.handler.onClose(code, reason.toString());
    });
    ws.on("error", (error: NodeJS.ErrnoException) => {
      // A broken connection is followed by "close" (1006); what the peer may not send is an end for good.
      if (error.code?.startsWith("WS_ERR_")) this.#end(1002, error.message);
    });
    socket.on("drain", () => {
      if (!this.#isOver) this.handler.onDrain();
    });
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  send(head: Buffer, body?: Buffer): boolean {
    const socket = this.#socket;
    if (this.#isOver || this.#ws.readyState !== this.#ws.OPEN || !socket.writable) return true;
    if (!this.#isCorked) {
      this.#isCorked = true;
      socket.cork();
    }
    if (this.#isMasking) return socket.write(maskedFrame(head, body));
    socket.write(frameHeader(head.length + (body === undefined ? 0 : body.length)));
    const hasRoom = socket.write(head);
    return body === undefined ? hasRoom : socket.write(body);
  }

  flush(): void {
    if (!this.#isCorked) return;
    this.#isCorked = false;
    this.#socket.uncork();
  }

  close(code: number, reason: string): void {
    this.flush();
    this.#isOver = true;
    // RFC 6455 section 5.5: a control frame carries at most 125 bytes, two of them the code.
    const text = Buffer.from(reason).subarray(0, 120).toString("utf8").replace(/\uFFFD+$/, "");
    if (isSendableCode(code)) this.#ws.close(code, text);
    else this.#ws.close();
  }

  destroy(): void {
    this.#isOver = true;
    this.flush();
    this.#ws.terminate();
  }

  #end(code: number, reason: string): void {
    if (this.#isOver) return;
    const { handler } = this;
    this.close(code, reason);
    handler.onClose(code, reason);
  }
}

function isSendableCode(code: number): boolean {
  return code === 1000 || (code >= 1001 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

/** Header of an unmasked frame of this length. */
function frameHeader(length: number): Buffer {
  if (length < 126) {
    const header = Buffer.allocUnsafe(2);
    header[0] = FINAL_BINARY;
    header[1] = length;
    return header;
  }
  const header = Buffer.allocUnsafe(length < 65_536 ? 4 : 10);
  header[0] = FINAL_BINARY;
  writeLength(header, 0, length, 0);
  return header;
}

function writeLength(frame: Buffer, start: number, length: number, bit: number): void {
  if (length < 126) {
    frame[start + 1] = bit | length;
  } else if (length < 65_536) {
    frame[start + 1] = bit | 126;
    frame.writeUInt16BE(length, start + 2);
  } else {
    frame[start + 1] = bit | 127;
    frame.writeUInt32BE(0, start + 2);
    frame.writeUInt32BE(length, start + 6);
  }
}

/** The whole frame, masked with a fresh key, in one buffer: masking has to copy anyway. */
function maskedFrame(head: Buffer, body: Buffer | undefined): Buffer {
  const length = head.length + (body === undefined ? 0 : body.length);
  const buffer = Buffer.allocUnsafe(MASKED_OFFSET + length);
  buffer.set(head, MASKED_OFFSET);
  if (body !== undefined) buffer.set(body, MASKED_OFFSET + head.length);
  if (keyPoolUsed === KEY_POOL_BYTES) {
    randomFillSync(keyPool);
    keyPoolUsed = 0;
  }
  const key = keyPool.readInt32LE(keyPoolUsed);
  keyPoolUsed += 4;
  const start = MASKED_OFFSET - 4 - (length < 126 ? 2 : length < 65_536 ? 4 : 10);
  buffer[start] = FINAL_BINARY;
  writeLength(buffer, start, length, MASK_BIT);
  buffer.writeInt32LE(key, MASKED_OFFSET - 4);
  mask(buffer, length, key);
  return start === 0 ? buffer : buffer.subarray(start);
}

/** XORs `length` bytes from MASKED_OFFSET with the key, a 32-bit word at a time. */
function mask(buffer: Buffer, length: number, key: number): void {
  const at = buffer.byteOffset + MASKED_OFFSET;
  const isAligned = (at & 3) === 0;
  const words = isAligned ? length >>> 2 : 0;
  if (words > 0) {
    const view = new Int32Array(buffer.buffer, at, words);
    for (let i = 0; i < words; i += 1) view[i] = (view[i] as number) ^ key;
  }
  for (let i = words << 2; i < length; i += 1) {
    const position = MASKED_OFFSET + i;
    buffer[position] = (buffer[position] as number) ^ (key >>> ((i & 3) << 3));
  }
}
