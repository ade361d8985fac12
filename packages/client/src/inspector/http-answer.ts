import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { GgrokError } from "@ggrok/protocol";

/** What every answer of the local API carries: a recorded body is only ever shown, never run. */
const SAFE_FIELDS = {
  "cache-control": "no-store",
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src blob:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

/** Answers one request of the local API. */
export class HttpAnswer {
  readonly response: ServerResponse;
  readonly #isHead: boolean;

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.response = response;
    this.#isHead = request.method === "HEAD";
  }

  send(status: number, type: string, body: string | Buffer, fields: Record<string, string> = {}): void {
    const length = String(Buffer.byteLength(body));
    this.response.writeHead(status, { ...SAFE_FIELDS, "content-type": type, "content-length": length, ...fields });
    this.response.end(this.#isHead ? undefined : body);
  }

  json(status: number, value: unknown, fields: Record<string, string> = {}): void {
    this.send(status, "application/json", `${JSON.stringify(value)}\n`, fields);
  }

  text(body: string): void {
    this.send(200, "text/plain; charset=utf-8", body);
  }

  empty(status: number, fields: Record<string, string> = {}): void {
    this.response.writeHead(status, { ...SAFE_FIELDS, ...fields });
    this.response.end();
  }

  /** Sends what may be larger than one text can be, as fast as it is read. */
  async sendParts(type: string, parts: AsyncIterable<string>, fields: Record<string, string> = {}): Promise<void> {
    this.response.writeHead(200, { ...SAFE_FIELDS, "content-type": type, ...fields });
    if (this.#isHead) this.response.end();
    else await pipeline(parts, this.response);
  }

  /** Begins a stream of events. */
  stream(): ServerResponse {
    this.response.writeHead(200, { ...SAFE_FIELDS, "content-type": "text/event-stream; charset=utf-8" });
    if (this.#isHead) this.response.end();
    return this.response;
  }

  /** Says what is wrong, in ngrok's shape. */
  fail(error: unknown, fields: Record<string, string> = {}): void {
    const known =
      error instanceof GgrokError
        ? error
        : new GgrokError("ERR_GGROK_INTERNAL", { message: error instanceof Error ? error.message : String(error) });
    this.json(
      known.status,
      {
        error_code: known.code,
        status_code: known.status,
        msg: known.message,
        details: { next_step: known.nextStep, ...known.detail },
      },
      fields,
    );
  }
}

/** Reads the body of a call. @throws GgrokError when it is larger than `maxBytes` */
async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) {
      throw new GgrokError("ERR_GGROK_REQUEST_BODY_TOO_LARGE", {
        message: `the call has more than ${maxBytes} bytes, which is what the local API takes`,
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

/** Reads the body of a call as JSON. @throws GgrokError when it is none */
export async function readJson(request: IncomingMessage, maxBytes: number): Promise<unknown> {
  const body = await readBody(request, maxBytes);
  try {
    return JSON.parse(body.toString("utf8"));
  } catch (cause) {
    throw new GgrokError("ERR_GGROK_API_REQUEST_INVALID", { message: "the call's body is no JSON", cause });
  }
}
