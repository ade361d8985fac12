import { createInflateRaw, type InflateRaw } from "node:zlib";
import type { RecordedMessage } from "./exchange-record.ts";

const HEADER_BYTES_MAX = 14;
const CONTROL_PAYLOAD_MAX = 125;
/** What permessage-deflate takes off the end of each message, RFC 7692 section 7.2.1. */
const DEFLATE_TAIL = Buffer.from([0, 0, 0xff, 0xff]);

/** One message, as far as it is known now. */
export type FrameMessage = Pick<RecordedMessage, "opcode" | "size" | "data" | "isWhole">;

/** Hears that a message has ended; its content may come later, when it had to be decompressed. */
export type OnMessage = () => (message: FrameMessage) => void;

/**
 * Reads one direction of a WebSocket as it passes (RFC 6455 section 5.2): messages put together, masks taken off, compressed
 * ones decompressed. What breaks the rules ends the reading, never the connection. A state machine that reads better whole.
 */
export class WebSocketReader {
  readonly #maxBytes: number;
  readonly #isCompressed: boolean;
  readonly #onMessage: OnMessage;
  readonly #header = Buffer.alloc(HEADER_BYTES_MAX);
  #headerBytes = 0;
  #payloadLeft = 0;
  #maskAt = 0;
  #frame: { opcode: number; isFinal: boolean; mask: Buffer | undefined } | undefined;
  #control: Assembly | undefined;
  #message: Assembly | undefined;
  #inflater: Inflater | undefined;
  #isBroken = false;

  constructor(o: { maxBytes: number; isCompressed: boolean; onMessage: OnMessage }) {
    this.#maxBytes = o.maxBytes;
    this.#isCompressed = o.isCompressed;
    this.#onMessage = o.onMessage;
  }

  push(chunk: Buffer): void {
    let at = 0;
    while (!this.#isBroken && (at < chunk.length || this.#frame !== undefined)) {
      if (this.#frame === undefined) {
        at = this.#readHeader(chunk, at);
        if (this.#frame === undefined) return;
      }
      const end = Math.min(chunk.length, at + this.#payloadLeft);
      if (end > at) this.#readPayload(chunk.subarray(at, end));
      at = end;
      if (this.#payloadLeft > 0) return;
      this.#endFrame();
    }
  }

  /** Lets go of the decompressor. */
  close(): void {
    this.#isBroken = true;
    this.#inflater?.close();
  }

  #readHeader(chunk: Buffer, from: number): number {
    let at = from;
    while (at < chunk.length) {
      this.#header[this.#headerBytes++] = chunk[at++] ?? 0;
      if (this.#headerBytes >= 2 && this.#headerBytes === headerLength(this.#header)) {
        this.#startFrame();
        return at;
      }
    }
    return at;
  }

  #startFrame(): void {
    const header = this.#header;
    this.#headerBytes = 0;
    const first = header[0] ?? 0;
    const short = (header[1] ?? 0) & 0x7f;
    const length = short === 126 ? header.readUInt16BE(2) : short === 127 ? Number(header.readBigUInt64BE(2)) : short;
    const opcode = first & 0x0f;
    const isFinal = (first & 0x80) !== 0;
    const isDeflated = (first & 0x40) !== 0;
    const isMasked = ((header[1] ?? 0) & 0x80) !== 0;
    const end = headerLength(header);
    const isControl = opcode >= 8;
    const isWrong =
      (first & 0x30) !== 0 ||
      (isDeflated && (!this.#isCompressed || isControl || opcode === 0)) ||
      (isControl && (length > CONTROL_PAYLOAD_MAX || !isFinal || opcode > 10)) ||
      (opcode > 2 && opcode < 8) ||
      (opcode === 0 && this.#message === undefined) ||
      (opcode !== 0 && !isControl && this.#message !== undefined) ||
      length > Number.MAX_SAFE_INTEGER;
    if (isWrong) {
      this.close();
      return;
    }
    this.#frame = { opcode, isFinal, mask: isMasked ? Buffer.from(header.subarray(end - 4, end)) : undefined };
    this.#payloadLeft = length;
    this.#maskAt = 0;
    if (isControl) this.#control = new Assembly(CONTROL_PAYLOAD_MAX);
    else if (opcode !== 0) {
      this.#message = new Assembly(this.#maxBytes);
      this.#message.opcode = opcode;
      this.#message.isDeflated = isDeflated;
    }
  }

  #readPayload(part: Buffer): void {
    this.#payloadLeft -= part.length;
    const frame = this.#frame;
    if (frame === undefined) return;
    const isControl = frame.opcode >= 8;
    const into = isControl ? this.#control : this.#message;
    if (into === undefined) return;
    // Beyond what is kept only a decompressor needs the bytes.
    const wanted = into.isDeflated ? part.length : Math.min(part.length, into.room);
    const plain = Buffer.from(part.subarray(0, wanted));
    if (frame.mask !== undefined) unmask(plain, frame.mask, this.#maskAt);
    this.#maskAt = (this.#maskAt + part.length) & 3;
    if (into.isDeflated) {
      this.#inflater ??= new Inflater(this.#maxBytes);
      this.#inflater.write(plain);
    } else {
      into.add(plain, part.length);
    }
  }

  #endFrame(): void {
    const frame = this.#frame;
    this.#frame = undefined;
    if (frame === undefined) return;
    if (frame.opcode >= 8) {
      const control = this.#control;
      this.#control = undefined;
      if (control !== undefined) this.#onMessage()(control.message(OPCODES[frame.opcode] ?? "close"));
      return;
    }
    if (!frame.isFinal) return;
    const message = this.#message;
    this.#message = undefined;
    if (message === undefined) return;
    const deliver = this.#onMessage();
    const opcode = OPCODES[message.opcode] ?? "binary";
    if (!message.isDeflated) {
      deliver(message.message(opcode));
      return;
    }
    this.#inflater ??= new Inflater(this.#maxBytes);
    this.#inflater.end((inflated) => deliver({ ...(inflated ?? UNREADABLE), opcode }));
  }
}

const OPCODES: Readonly<Record<number, RecordedMessage["opcode"]>> = {
  1: "text",
  2: "binary",
  8: "close",
  9: "ping",
  10: "pong",
};

/** A message in the making. */
class Assembly {
  opcode = 0;
  isDeflated = false;
  readonly #max: number;
  readonly #parts: Buffer[] = [];
  #kept = 0;
  #size = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get room(): number {
    return this.#max - this.#kept;
  }

  add(kept: Buffer, size: number): void {
    if (kept.length > 0) this.#parts.push(kept);
    this.#kept += kept.length;
    this.#size += size;
  }

  message(opcode: RecordedMessage["opcode"]): FrameMessage {
    const data = this.#parts.length === 1 ? (this.#parts[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#parts);
    return { opcode, size: this.#size, data, isWhole: this.#kept === this.#size };
  }
}

type OnInflated = (inflated: FrameMessage | undefined) => void;

/** A message that could not be decompressed. */
const UNREADABLE = { size: 0, data: Buffer.alloc(0), isWhole: false };
/** Bytes that may wait for a decompressor: one that is slower than the socket gives up. */
const INFLATE_BACKLOG_BYTES_MAX = 8_388_608;

/**
 * Decompresses the messages of one direction, off the main thread. The window goes on from message to message; where the two
 * ends agreed to begin anew each time nothing refers back, so that it does no harm.
 */
class Inflater {
  readonly #max: number;
  readonly #waiting = new Set<OnInflated>();
  #inflate: InflateRaw;
  #assembly: Assembly;
  #isClosed = false;

  constructor(max: number) {
    this.#max = max;
    this.#assembly = new Assembly(max);
    this.#inflate = this.#start();
  }

  write(chunk: Buffer): void {
    if (this.#isClosed) return;
    if (this.#inflate.writableLength > INFLATE_BACKLOG_BYTES_MAX) this.close();
    else this.#inflate.write(chunk);
  }

  end(done: OnInflated): void {
    if (this.#isClosed) {
      done(undefined);
      return;
    }
    this.#waiting.add(done);
    const inflate = this.#inflate;
    inflate.write(DEFLATE_TAIL);
    inflate.flush(() => {
      if (!this.#waiting.delete(done)) return;
      const message = this.#assembly.message("binary");
      this.#assembly = new Assembly(this.#max);
      // A sender may end its deflate stream with a message; the next begins another.
      if (inflate.readableEnded && inflate === this.#inflate) this.#inflate = this.#start();
      done(message);
    });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#inflate.close();
    for (const done of this.#waiting) done(undefined);
    this.#waiting.clear();
  }

  #start(): InflateRaw {
    const inflate = createInflateRaw();
    inflate.on("data", (chunk: Buffer) => {
      this.#assembly.add(chunk.subarray(0, Math.max(0, this.#assembly.room)), chunk.length);
    });
    inflate.on("error", () => this.close());
    return inflate;
  }
}

function headerLength(header: Buffer): number {
  const second = header[1] ?? 0;
  const short = second & 0x7f;
  return 2 + (short === 126 ? 2 : short === 127 ? 8 : 0) + ((second & 0x80) === 0 ? 0 : 4);
}

function unmask(data: Buffer, mask: Buffer, from: number): void {
  for (let i = 0; i < data.length; i++) data[i] = (data[i] ?? 0) ^ (mask[(from + i) & 3] ?? 0);
}
