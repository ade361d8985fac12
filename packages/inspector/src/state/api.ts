import type { Edit } from "../core/edit.ts";
import type { BodySide, Exchange, StoreStats, StreamMessage, Summary } from "../core/exchange.ts";

/** What the local API says is wrong. */
class ApiError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** What became of one replay. */
export interface Replayed {
  readonly id?: string;
  readonly status_code?: number;
  /** Code of what went wrong, and `msg` in words. */
  readonly error?: string;
  readonly msg?: string;
}

/** What became of an import. */
export interface Imported {
  readonly imported: number;
  readonly skipped: readonly { readonly index: number; readonly reason: string }[];
}

/** Forms an exchange can be copied in. */
export type CopyForm = "curl" | "fetch" | "httpie";

const EXCHANGES = "/api/requests/http";
const HAR = "/api/requests/har";

/** The local API that has served this page (docs/inspector-api.md); its answers are of the same build, and trusted. */
export class Api {
  #token: string;

  constructor(token: string) {
    this.#token = token;
  }

  async list(query: URLSearchParams, signal?: AbortSignal): Promise<{ requests: Summary[]; stats: StoreStats }> {
    return await this.#json(`${EXCHANGES}?${query}`, signal);
  }

  async exchange(id: string, signal?: AbortSignal): Promise<Exchange> {
    return await this.#json(pathOf(id), signal);
  }

  messages(
    id: string,
    after: number,
    signal?: AbortSignal,
  ): Promise<{ readonly messages: readonly StreamMessage[]; readonly more: boolean }> {
    return this.#json(`${pathOf(id)}/messages?after=${after}`, signal);
  }

  async body(
    o: { id: string; side: BodySide; isDecoded: boolean },
    signal?: AbortSignal,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const response = await this.#call(this.bodyPath(o), signal === undefined ? {} : { signal });
    return new Uint8Array(await response.arrayBuffer());
  }

  bodyPath(o: { id: string; side: BodySide; isDecoded: boolean }): string {
    return `${pathOf(o.id)}/${o.side}-body${o.isDecoded ? "?decoded=1" : ""}`;
  }

  async copyText(id: string, form: CopyForm): Promise<string> {
    return await (await this.#call(`${pathOf(id)}/${form}`, {})).text();
  }

  /** Path of a HAR with these exchanges, or with those of a filter. */
  harPath(what: readonly string[] | URLSearchParams): string {
    return Array.isArray(what) ? `${HAR}?ids=${what.map(encodeURIComponent).join(",")}` : `${HAR}?${String(what)}`;
  }

  async importHar(file: Blob): Promise<Imported> {
    return (await (await this.#change("POST", HAR, file)).json()) as Imported;
  }

  async replay(call: { id: string; edit?: Edit; times?: number; resign?: boolean }): Promise<readonly Replayed[]> {
    const response = await this.#change("POST", EXCHANGES, JSON.stringify(call));
    return ((await response.json()) as { replays: readonly Replayed[] }).replays;
  }

  async delete(id: string): Promise<void> {
    await this.#change("DELETE", pathOf(id));
  }

  async clear(): Promise<void> {
    await this.#change("DELETE", EXCHANGES);
  }

  async #json<T>(path: string, signal?: AbortSignal): Promise<T> {
    return (await (await this.#call(path, signal === undefined ? {} : { signal })).json()) as T;
  }

  async #change(method: "POST" | "DELETE", path: string, body?: string | Blob): Promise<Response> {
    const send = (): Promise<Response> => {
      const headers = { "content-type": "application/json", "x-ggrok-token": this.#token };
      return this.#call(path, { method, headers, ...(body !== undefined && { body }) });
    };
    try {
      return await send();
    } catch (error) {
      // The agent was started anew, and has another token than the one this page was loaded with.
      if (!(error instanceof ApiError) || error.code !== "ERR_GGROK_API_TOKEN_REQUIRED") throw error;
      this.#token = await this.#readToken();
      return await send();
    }
  }

  async #readToken(): Promise<string> {
    const page = await (await this.#call("/", {})).text();
    return /<meta name="ggrok-token" content="([^"]*)"/.exec(page)?.[1] ?? "";
  }

  async #call(path: string, init: RequestInit): Promise<Response> {
    const response = await fetch(path, init).catch((cause: unknown) => {
      if (init.signal?.aborted === true) throw cause;
      throw new ApiError("", "The agent does not answer. Is it still running?");
    });
    if (response.ok) return response;
    const answer = (await response.json().catch(() => ({}))) as { error_code?: string; msg?: string };
    throw new ApiError(answer.error_code ?? "", answer.msg ?? `The agent answered ${response.status}.`);
  }
}

function pathOf(id: string): string {
  return `${EXCHANGES}/${encodeURIComponent(id)}`;
}
