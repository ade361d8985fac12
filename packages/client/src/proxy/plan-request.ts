import type { IncomingMessage, RequestOptions } from "node:http";
import { GgrokError, removeHopByHop } from "@ggrok/protocol";
import { basicAuthorization } from "./ask-http-proxy.ts";
import type { Exits } from "./exits.ts";
import { PROXY_LIMITS } from "./limits.ts";
import { forwardsLeft } from "./max-forwards.ts";
import { type AbsoluteForm, parseAbsoluteForm } from "./rules.ts";

const METHODS_WITHOUT_BODY: ReadonlySet<string> = new Set(["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"]);

/** A request as it goes to the next hop. */
export interface PlannedRequest {
  readonly options: RequestOptions;
  /** Asked in absolute form: its 407 is ours to deal with, not the client's. */
  readonly proxyLabel: string | undefined;
  readonly hasBody: boolean;
}

/** What the request names; throws where it names nothing for a proxy. */
export function requireAbsoluteForm(request: IncomingMessage): AbsoluteForm {
  const parsed = parseAbsoluteForm(request.url ?? "");
  if (parsed !== undefined) return parsed;
  const message = /^https:/i.test(request.url ?? "")
    ? "This proxy takes https:// by CONNECT."
    : "This is a proxy: the request needs a whole URL, http://host/path.";
  throw new GgrokError("ERR_GGROK_REQUEST_MALFORMED", { message });
}

/** Finds the way and the head of a request. */
export async function planRequest(
  request: IncomingMessage,
  target: AbsoluteForm,
  exits: Exits,
): Promise<PlannedRequest> {
  const { destination, authority } = target;
  // RFC 9112 3.2.4: OPTIONS of a URL without a path asks about the whole server.
  const [atServer, path] = request.method === "OPTIONS" && target.isBare ? ["*", ""] : [target.path, target.path];
  const atProxy = `http://${authority}${path}`;
  const { agent, via, proxy } = await exits.routeRequest(destination);
  const hasBody = request.headers["transfer-encoding"] !== undefined || Number(request.headers["content-length"]) > 0;
  const fields = requestFields(request, authority, exits.via(request.httpVersion));
  const authorization = proxy === undefined ? undefined : basicAuthorization(proxy);
  if (authorization !== undefined) fields.push("Proxy-Authorization", authorization);
  return {
    options: {
      agent,
      host: via.host,
      port: via.port,
      method: request.method ?? "GET",
      path: proxy === undefined ? atServer : atProxy,
      headers: fields,
      setHost: false,
      maxHeaderSize: PROXY_LIMITS.HEAD_BYTES_MAX,
    },
    proxyLabel: proxy?.label,
    hasBody,
  };
}

/** The fields as the next hop gets them: without this hop's own, Host as the target has it, Via, and the body's framing. */
function requestFields(request: IncomingMessage, authority: string, via: string): string[] {
  const kept = removeHopByHop(request.rawHeaders, { keepTrailers: true });
  const left = forwardsLeft(request);
  const fields = ["Host", authority];
  for (let i = 0; i + 1 < kept.length; i += 2) {
    const name = kept[i] ?? "";
    const lower = name.toLowerCase();
    if (lower === "max-forwards" && left !== undefined) fields.push(name, String(left - 1));
    else if (lower !== "host") fields.push(name, kept[i + 1] ?? "");
  }
  fields.push("Via", via);
  if (request.headers["transfer-encoding"] !== undefined) fields.push("Transfer-Encoding", "chunked");
  else if (request.headers["content-length"] === undefined && !METHODS_WITHOUT_BODY.has(request.method ?? "GET")) {
    fields.push("Content-Length", "0");
  }
  return fields;
}
