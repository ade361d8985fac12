import type { ErrorCode } from "../errors.ts";
import { DEAF_HANDLER, type Transport } from "../transport/transport.ts";
import { decodeMessage } from "../wire/decode.ts";
import { encodeOpenPayload, encodeU48 } from "../wire/encode.ts";
import { FRAME_HEADER_BYTES, FrameType, putFrameHeader } from "../wire/frame.ts";
import { requestHead, sessionHandler, sessionOptions } from "./pair.testing.ts";
import { Session, type SessionHandler, type SessionOptions } from "./session.ts";

/** A frame that a session has sent. */
export interface SentFrame {
  type: FrameType;
  flags: number;
  stream: number;
  payload: Buffer;
}

/** Bytes of one frame. */
export function frame(type: FrameType, stream: number, payload: Buffer = Buffer.alloc(0), flags = 0): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES + payload.length);
  payload.copy(bytes, putFrameHeader(bytes, 0, type, flags, stream, payload.length));
  return bytes;
}

/** OPEN of a request without a body's end. */
export function openFrame(stream: number, credit: number): Buffer {
  return frame(FrameType.Open, stream, encodeOpenPayload(credit, requestHead("/", "POST")));
}

/** WINDOW of a stream, or of the session (0). */
export function windowFrame(stream: number, limit: number): Buffer {
  return frame(FrameType.Window, stream, encodeU48(limit));
}

/** A session whose peer is the test: it says what it likes, reads when it likes and sees every frame. */
export class RawPeer {
  readonly session: Session;
  readonly sent: SentFrame[] = [];
  readonly ends: ErrorCode[] = [];
  /** The link is full: what the session hands over is kept, and it is told so. */
  isBlocked = false;
  readonly #transport: Transport;
  #bufferedBytes = 0;

  constructor(
    side: "dialler" | "listener",
    handler: Partial<SessionHandler> = {},
    options: Partial<SessionOptions> = {},
  ) {
    this.session = new Session(
      sessionOptions(side, {
        handler: sessionHandler({ onClosed: (error) => this.ends.push(error.code), ...handler }),
        ...options,
      }),
    );
    const bufferedBytes = (): number => this.#bufferedBytes;
    this.#transport = {
      handler: DEAF_HANDLER,
      send: (head, body) => {
        if (this.isBlocked) this.#bufferedBytes += head.length + (body?.length ?? 0);
        decodeMessage(body === undefined ? head : Buffer.concat([head, body]), (type, flags, stream, payload) => {
          this.sent.push({ type, flags, stream, payload: Buffer.from(payload) });
        });
        return !this.isBlocked;
      },
      flush() {},
      get bufferedBytes() {
        return bufferedBytes();
      },
      close() {},
      destroy() {},
    };
    this.session.attach(this.#transport);
  }

  /** One message to the session. */
  say(...frames: Buffer[]): void {
    this.#transport.handler.onMessage(Buffer.concat(frames));
  }

  /** The link has room again. */
  unblock(): void {
    this.isBlocked = false;
    this.#bufferedBytes = 0;
    this.#transport.handler.onDrain();
  }

  /** What the session has sent of a type. */
  sentOf(type: FrameType): SentFrame[] {
    return this.sent.filter((f) => f.type === type);
  }
}

/** The next turn of the event loop has come: what was due has been sent. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}
