import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { ByteReader, type End, type RawBody, type RawHead } from "./byte-reader.ts";
import { DEADLINE_MS } from "./deadline.ts";

/** One answer as it came over the wire. */
export interface RawAnswer extends RawHead, RawBody {
  readonly status: number;
  readonly reason: string;
  readonly version: string;
  /** Interim answers before it. */
  readonly interim: readonly RawHead[];
}

/** A visitor who says exactly what it is told to. */
export class RawClient implements AsyncDisposable {
  readonly socket: Socket;
  readonly reader: ByteReader;

  private constructor(socket: Socket) {
    this.socket = socket;
    this.reader = new ByteReader(socket);
  }

  static async connect(port: number, o: { first?: string | Buffer } = {}): Promise<RawClient> {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    const client = new RawClient(socket);
    await once(socket, "connect", { signal: AbortSignal.timeout(DEADLINE_MS) });
    if (o.first !== undefined) client.send(o.first);
    return client;
  }

  /** Text is sent as latin1. */
  send(data: string | Buffer): void {
    if (this.socket.writable) this.socket.write(typeof data === "string" ? Buffer.from(data, "latin1") : data);
  }

  /** Ends the sending half. */
  finish(): void {
    this.socket.end();
  }

  reset(): void {
    this.socket.resetAndDestroy();
  }

  /** The next head, interim or final; undefined when the connection ends instead. */
  head(ms?: number): Promise<RawHead | undefined> {
    return this.reader.head(ms);
  }

  /** The next answer with its body; undefined when the connection ends before its head. */
  async answer(method = "GET", ms: number = DEADLINE_MS): Promise<RawAnswer | undefined> {
    const interim: RawHead[] = [];
    for (;;) {
      const head = await this.reader.head(ms);
      if (head === undefined) return undefined;
      const status = statusOf(head);
      if (status < 200 && status !== 101) {
        interim.push(head);
        continue;
      }
      const isBare = method === "HEAD" || status === 101 || status === 204 || status === 304;
      const body: RawBody = isBare
        ? { bytes: Buffer.alloc(0), trailers: [], isWhole: true, chunks: [] }
        : await this.reader.body(head, "answer", ms);
      const [version = "", , ...reason] = head.startLine.split(" ");
      return { ...head, ...body, status, interim, version, reason: reason.join(" ") };
    }
  }

  ended(ms?: number): Promise<End> {
    return this.reader.ended(ms);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.socket.destroyed) return;
    const closed = once(this.socket, "close");
    this.socket.destroy();
    await closed;
  }
}

/** The status of an answer's head. */
export function statusOf(head: RawHead): number {
  return Number(head.startLine.split(" ")[1]);
}
