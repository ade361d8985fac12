import type { Socket } from "node:net";
import { Changes, DEADLINE_MS } from "./deadline.ts";

/** How a connection ended: orderly, by a reset, or not yet. */
export type End = "open" | "fin" | "rst";

/** A message head exactly as it came. */
export interface RawHead {
  readonly startLine: string;
  /** Name and value as latin1, in order. */
  readonly fields: readonly (readonly [string, string])[];
  readonly raw: Buffer;
}

/** A message body exactly as it came. */
export interface RawBody {
  readonly bytes: Buffer;
  readonly trailers: readonly (readonly [string, string])[];
  /** False: the connection ended before the message did. */
  readonly isWhole: boolean;
  readonly chunks: readonly Buffer[];
}

/** The values of one field, by its name in any case. */
export function valuesOf(fields: readonly (readonly [string, string])[], name: string): string[] {
  return fields.filter(([key]) => key.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
}

/** Reads a socket piece by piece and knows how it ended. */
export class ByteReader {
  readonly changes = new Changes();
  end: End = "open";
  /** Everything that ever came. */
  total = 0;
  #chunks: Buffer[] = [];
  #length = 0;

  constructor(socket: Socket) {
    socket.on("data", (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#length += chunk.length;
      this.total += chunk.length;
      this.changes.notify();
    });
    const finish = (end: End): void => {
      if (this.end !== "open") return;
      this.end = end;
      this.changes.notify();
    };
    socket.on("error", () => finish("rst"));
    socket.on("end", () => finish("fin"));
    socket.on("close", () => finish("fin"));
  }

  /** What has come and was not taken yet. */
  get pending(): Buffer {
    const joined = Buffer.concat(this.#chunks);
    this.#chunks = [joined];
    return joined;
  }

  async ended(ms: number = DEADLINE_MS): Promise<End> {
    await this.changes.until(
      () => `the end; so far ${this.pending.toString("latin1")}`,
      () => this.end !== "open",
      ms,
    );
    return this.end;
  }

  /** The next `count` bytes, fewer when the connection ends before. */
  async take(count: number, ms: number = DEADLINE_MS): Promise<Buffer> {
    await this.changes.until(
      () => `${count} bytes, there are ${this.#length}`,
      () => this.#length >= count || this.end !== "open",
      ms,
    );
    return this.#drop(Math.min(count, this.#length));
  }

  /** Everything to the end of the connection. */
  async rest(ms: number = DEADLINE_MS): Promise<Buffer> {
    await this.ended(ms);
    return this.#drop(this.#length);
  }

  /** Through the next `mark`; undefined when the connection ends before it. */
  async through(mark: string, ms: number = DEADLINE_MS): Promise<Buffer | undefined> {
    let at = -1;
    await this.changes.until(
      () => `${JSON.stringify(mark)} after ${JSON.stringify(this.pending.toString("latin1").slice(0, 400))}`,
      () => {
        at = this.pending.indexOf(mark, 0, "latin1");
        return at >= 0 || this.end !== "open";
      },
      ms,
    );
    return at < 0 ? undefined : this.#drop(at + mark.length);
  }

  /** The next head; undefined when the connection ends before it is whole. */
  async head(ms: number = DEADLINE_MS): Promise<RawHead | undefined> {
    const raw = await this.through("\r\n\r\n", ms);
    if (raw === undefined) return undefined;
    const [startLine = "", ...lines] = raw.toString("latin1").slice(0, -4).split("\r\n");
    return { startLine, fields: lines.map(splitField), raw };
  }

  /** The body a head announces; `isRequest` bodies without framing are empty, answers' last to the end. */
  async body(head: RawHead, kind: "request" | "answer", ms: number = DEADLINE_MS): Promise<RawBody> {
    const coding = valuesOf(head.fields, "transfer-encoding").join(",");
    if (coding !== "") return this.#chunked(ms);
    const [length] = valuesOf(head.fields, "content-length");
    if (length !== undefined) {
      const bytes = await this.take(Number(length), ms);
      return { bytes, trailers: [], isWhole: bytes.length === Number(length), chunks: [] };
    }
    if (kind === "request") return { bytes: Buffer.alloc(0), trailers: [], isWhole: true, chunks: [] };
    const bytes = await this.rest(ms);
    return { bytes, trailers: [], isWhole: this.end === "fin", chunks: [] };
  }

  async #chunked(ms: number): Promise<RawBody> {
    const chunks: Buffer[] = [];
    const broken = (): RawBody => ({ bytes: Buffer.concat(chunks), trailers: [], isWhole: false, chunks });
    for (;;) {
      const line = await this.through("\r\n", ms);
      if (line === undefined) return broken();
      const size = Number.parseInt(line.toString("latin1"), 16);
      if (size === 0) break;
      const data = await this.take(size + 2, ms);
      if (data.length < size + 2) return broken();
      chunks.push(data.subarray(0, size));
    }
    const trailers: (readonly [string, string])[] = [];
    for (;;) {
      const line = await this.through("\r\n", ms);
      if (line === undefined) return broken();
      if (line.length === 2) return { bytes: Buffer.concat(chunks), trailers, isWhole: true, chunks };
      trailers.push(splitField(line.toString("latin1").slice(0, -2)));
    }
  }

  #drop(count: number): Buffer {
    const all = this.pending;
    this.#chunks = [all.subarray(count)];
    this.#length = all.length - count;
    return all.subarray(0, count);
  }
}

function splitField(line: string): readonly [string, string] {
  const colon = line.indexOf(":");
  return [line.slice(0, colon), line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/gu, "")];
}
