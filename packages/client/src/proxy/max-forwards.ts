import type { IncomingMessage, ServerResponse } from "node:http";

/** Not said back: RFC 9110 9.3.8. */
const SENSITIVE: ReadonlySet<string> = new Set(["authorization", "cookie", "proxy-authorization"]);

/**
 * How many proxies the request may still pass, by RFC 9110 7.6.2; undefined when that is not said. Only TRACE and OPTIONS
 * are asked.
 */
export function forwardsLeft({ method, headers }: Pick<IncomingMessage, "method" | "headers">): number | undefined {
  if (method !== "TRACE" && method !== "OPTIONS") return undefined;
  const value = headers["max-forwards"];
  return typeof value === "string" && /^\d{1,9}$/.test(value) ? Number(value) : undefined;
}

/** Answers a request that ends here as its last recipient: TRACE with what came, OPTIONS with nothing but good news. */
export function answerAsLast(request: IncomingMessage, response: ServerResponse): void {
  request.resume();
  if (request.method === "OPTIONS") {
    response.writeHead(200, ["Content-Length", "0"]).end();
    return;
  }
  const { rawHeaders } = request;
  let seen = `TRACE ${request.url ?? ""} HTTP/${request.httpVersion}\r\n`;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    if (!SENSITIVE.has(name.toLowerCase())) seen += `${name}: ${rawHeaders[i + 1] ?? ""}\r\n`;
  }
  const body = Buffer.from(`${seen}\r\n`, "latin1");
  response.writeHead(200, ["Content-Type", "message/http", "Content-Length", String(body.length)]).end(body);
}
