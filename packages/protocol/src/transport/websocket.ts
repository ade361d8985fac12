import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import { maskedBytes, maskFrame } from "./mask.ts";
import { type Slab, takeSlab } from "./slab-pool.ts";
import { DEAF_HANDLER, type Transport, type TransportHandler } from "./transport.ts";

/** FIN and opcode 2, RFC 6455 section 5.2. */
const FINAL_BINARY = 0x82;
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
  #slab: Slab | undefined;
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
    if (this.#isMasking) return this.#sendMasked(head, body);
    if (body === undefined) {
      socket.write(frameHeader(head.length));
      return socket.write(head);
    }
    // Two pieces for the kernel to gather instead of three: the head in front of a body is a few bytes.
    socket.write(Buffer.concat([frameHeader(head.length + body.length), head]));
    return socket.write(body);
  }

  /** Masking has to copy; the copies go through slabs that are used again once the kernel has taken them. */
  #sendMasked(head: Buffer, body: Buffer | undefined): boolean {
    const bytes = maskedBytes(head.length + (body === undefined ? 0 : body.length));
    let slab = this.#slab;
    if (slab === undefined || !slab.fits(bytes)) {
      slab?.letGo();
      slab = takeSlab(bytes);
      this.#slab = slab;
    }
    return this.#socket.write(maskFrame(slab.buffer, slab.use(bytes), head, body), slab.released);
  }

  flush(): void {
    // Between turns a slab belongs to the socket alone: an idle session holds none.
    this.#slab?.letGo();
    this.#slab = undefined;
    if (!this.#isCorked) return;
    this.#isCorked = false;
    this.#socket.uncork();
  }

  close(code: number, reason: string): void {
    this.flush();
    this.#isOver = true;
    // RFC 6455 section 5.5: a control frame carries at most 125 bytes, two of them the code.
    const text = Buffer.from(reason)
      .subarray(0, 120)
      .toString("utf8")
      .replace(/\uFFFD+$/, "");
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
  return (
    code === 1000 || (code >= 1001 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999)
  );
}

/** Header of an unmasked frame of this length, RFC 6455 section 5.2. */
function frameHeader(length: number): Buffer {
  if (length < 126) {
    const header = Buffer.allocUnsafe(2);
    header[0] = FINAL_BINARY;
    header[1] = length;
    return header;
  }
  if (length < 65_536) {
    const header = Buffer.allocUnsafe(4);
    header[0] = FINAL_BINARY;
    header[1] = 126;
    header.writeUInt16BE(length, 2);
    return header;
  }
  const header = Buffer.allocUnsafe(10);
  header[0] = FINAL_BINARY;
  header[1] = 127;
  header.writeUInt32BE(0, 2);
  header.writeUInt32BE(length, 6);
  return header;
}
