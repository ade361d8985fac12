import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { ByteReader, type RawHead } from "../harness/byte-reader.ts";

/** A control connection at the level of WebSocket frames. */
export class RawWebSocket implements AsyncDisposable {
  readonly socket: Socket;
  readonly reader: ByteReader;
  readonly head: RawHead;

  private constructor(socket: Socket, reader: ByteReader, head: RawHead) {
    this.socket = socket;
    this.reader = reader;
    this.head = head;
  }

  /** Asks for the upgrade and returns with the answer's head, whatever it is. */
  static async connect(port: number, lines: readonly string[] = []): Promise<RawWebSocket> {
    const socket = connect(port, "127.0.0.1");
    const reader = new ByteReader(socket);
    await once(socket, "connect");
    const head = [
      "GET /$$ggrok HTTP/1.1",
      `Host: localhost:${port}`,
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
      ...(lines.some((line) => line.startsWith("Sec-WebSocket-Protocol:")) ? [] : ["Sec-WebSocket-Protocol: ggrok.v1"]),
      ...lines,
    ];
    socket.write(`${head.join("\r\n")}\r\n\r\n`);
    const answer = await reader.head();
    if (answer === undefined) throw new Error(`no answer to the upgrade, the connection ended with ${reader.end}`);
    return new RawWebSocket(socket, reader, answer);
  }

  get status(): number {
    return Number(this.head.startLine.split(" ")[1]);
  }

  /** Sends bytes as they are and waits until the socket has room again. */
  async send(bytes: Buffer): Promise<void> {
    if (this.socket.destroyed || !this.socket.writable) return;
    if (this.socket.write(bytes)) return;
    await Promise.race([once(this.socket, "drain"), once(this.socket, "close")]).catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.socket.destroyed) return;
    const closed = once(this.socket, "close");
    this.socket.destroy();
    await closed;
  }
}

/** One WebSocket frame. A zero mask leaves the payload as it is, which makes masked frames easy. */
export function webSocketFrame(
  opcode: number,
  payload: Buffer,
  o: { isFinal?: boolean; isMasked?: boolean; rsv1?: boolean } = {},
): Buffer {
  const first = (o.isFinal === false ? 0 : 0x80) | (o.rsv1 === true ? 0x40 : 0) | opcode;
  const maskBit = o.isMasked === false ? 0 : 0x80;
  const mask = Buffer.alloc(o.isMasked === false ? 0 : 4);
  const { length } = payload;
  let header: Buffer;
  if (length < 126) header = Buffer.from([first, maskBit | length]);
  else if (length < 65_536) header = Buffer.from([first, maskBit | 126, length >> 8, length & 255]);
  else {
    header = Buffer.alloc(10);
    header[0] = first;
    header[1] = maskBit | 127;
    header.writeBigUInt64BE(BigInt(length), 2);
  }
  return Buffer.concat([header, mask, payload]);
}
