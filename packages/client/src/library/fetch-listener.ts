import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream as NodeReadableStream } from "node:stream/web";
import type { FetchHandler } from "../types.ts";

/** Methods that the web's Request has no body for. */
const BODILESS = new Set(["GET", "HEAD"]);

/** Turns a fetch handler into a Node listener. Bodies stream both ways; an error before the answer is a 500, after it a broken transfer. */
export function createFetchListener(
  handler: FetchHandler,
): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    void answer(handler, request, response).catch((error: unknown) => {
      if (response.headersSent || response.destroyed) {
        response.destroy();
        return;
      }
      response.writeHead(500, { "content-type": "text/plain; charset=utf-8" });
      response.end("Internal Server Error\n");
      // The visitor learns nothing of it, so the app's author must.
      process.emitWarning(error instanceof Error ? error : new Error(String(error)));
    });
  };
}

async function answer(handler: FetchHandler, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => {
    if (!response.writableFinished) gone.abort(new Error("the visitor left"));
  });
  const result = await handler(toRequest(request, gone.signal));
  const headers: string[] = [];
  for (const [name, value] of result.headers) if (name !== "set-cookie") headers.push(name, value);
  for (const cookie of result.headers.getSetCookie()) headers.push("set-cookie", cookie);
  response.writeHead(result.status, result.statusText, headers);
  if (result.body === null || request.method === "HEAD") {
    await result.body?.cancel();
    response.end();
    return;
  }
  await pipeline(Readable.fromWeb(result.body as NodeReadableStream<Uint8Array>), response);
}

function toRequest(request: IncomingMessage, signal: AbortSignal): Request {
  const headers = new Headers();
  for (let i = 0; i + 1 < request.rawHeaders.length; i += 2)
    headers.append(request.rawHeaders[i] ?? "", request.rawHeaders[i + 1] ?? "");
  const proto = headers.get("x-forwarded-proto") === "https" ? "https" : "http";
  const base = `${proto}://${request.headers.host ?? "localhost"}`;
  // An origin-form target may begin with two slashes, which URL would read as a host.
  const url = new URL(base + (request.url?.startsWith("/") === true ? request.url : "/"));
  const method = request.method ?? "GET";
  const hasBody = !BODILESS.has(method);
  return new Request(url, {
    method,
    headers,
    signal,
    ...(hasBody && { body: Readable.toWeb(request) as ReadableStream<Uint8Array>, duplex: "half" as const }),
  });
}
