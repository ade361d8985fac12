import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { ERRORS, type ErrorCode, GgrokError } from "@ggrok/protocol";
import { z } from "zod";
import { TOKEN_FIELD } from "../inspector/guard.ts";

const errorSchema = z.object({ error_code: z.string(), msg: z.string() });

/** Speaks to a local API. */
export class ApiClient {
  readonly url: string;
  readonly #token: string | undefined;

  constructor(url: string, token?: string) {
    this.url = url;
    this.#token = token;
  }

  /** Asks and gives the answer's JSON. @throws GgrokError as the API has it */
  async json<T>(schema: z.ZodType<T>, path: string, o: { method?: string; body?: string } = {}): Promise<T> {
    const text = (await this.bytes(path, o)).toString("utf8");
    return schema.parse(text === "" ? undefined : JSON.parse(text));
  }

  /** Asks and gives the answer's bytes. @throws GgrokError as the API has it */
  async bytes(path: string, o: { method?: string; body?: string } = {}): Promise<Buffer> {
    const response = await this.open(path, o);
    const body = await readWhole(response);
    if ((response.statusCode ?? 0) >= 400) throw readError(body, response.statusCode ?? 0);
    return body;
  }

  /** Asks for what may be large, and gives it as it comes. @throws GgrokError as the API has it */
  async download(path: string): Promise<IncomingMessage> {
    const response = await this.open(path);
    if ((response.statusCode ?? 0) < 400) return response;
    throw readError(await readWhole(response), response.statusCode ?? 0);
  }

  /** Asks and gives the answer as it comes. */
  async open(
    path: string,
    o: { method?: string; body?: string; signal?: AbortSignal; headers?: Record<string, string> } = {},
  ): Promise<IncomingMessage> {
    const call = request(`${this.url}${path}`, {
      method: o.method ?? (o.body === undefined ? "GET" : "POST"),
      agent: false,
      headers: {
        ...o.headers,
        ...(this.#token !== undefined && { [TOKEN_FIELD]: this.#token }),
        ...(o.body !== undefined && { "content-type": "application/json" }),
      },
      ...(o.signal !== undefined && { signal: o.signal }),
    });
    call.end(o.body);
    const [response] = (await once(call, "response")) as [IncomingMessage];
    return response;
  }
}

async function readWhole(response: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function readError(body: Buffer, status: number): Error {
  try {
    const { error_code: code, msg } = errorSchema.parse(JSON.parse(body.toString("utf8")));
    return Object.hasOwn(ERRORS, code) ? new GgrokError(code as ErrorCode, { message: msg }) : new Error(msg);
  } catch {
    return new Error(`the local API answered ${status}`);
  }
}
