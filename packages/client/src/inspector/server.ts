import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { ListenAddress } from "../config/values.ts";
import type { ExchangeFigures } from "./exchange-stats.ts";
import { isTrustedRequest } from "./guard.ts";

/** How many ports above the wanted one are tried when it is taken. */
const PORT_TRIES = 100;
const HEADERS = {
  "cache-control": "no-store",
  "content-security-policy":
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

/** What the local API shows of a tunnel. */
export interface TunnelView {
  readonly name: string;
  readonly url: string | undefined;
  readonly target: string;
  readonly isInspected: boolean;
  readonly figures: ExchangeFigures;
}

/** What the local API shows. */
export interface InspectorSource {
  isOnline(): boolean;
  version: string;
  relay: string;
  phase(): string;
  latencyMs(): number | undefined;
  tunnels(): readonly TunnelView[];
}

/** The running local API. */
export interface Inspector extends AsyncDisposable {
  readonly url: string;
  close(): Promise<void>;
}

/** Starts the local API at the wanted address, or at the next free port; port 0 takes any. */
export async function startInspector(address: ListenAddress, source: InspectorSource): Promise<Inspector> {
  const server = createServer({ maxHeaderSize: 16_384, requestTimeout: 10_000 }, (request, response) => {
    respond(request, response, source, address.host);
  });
  server.on("clientError", (_error, socket) => socket.destroy());
  const port = await listen(server, address);
  // The agent lives by its tunnels: a forgotten browser tab keeps no process alive.
  server.unref();
  const host = address.host === "0.0.0.0" || address.host === "::" ? "127.0.0.1" : address.host;
  const close = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  };
  return { url: `http://${host.includes(":") ? `[${host}]` : host}:${port}`, close, [Symbol.asyncDispose]: close };
}

async function listen(server: Server, address: ListenAddress): Promise<number> {
  const last = address.port === 0 ? 0 : Math.min(65_535, address.port + PORT_TRIES);
  for (let port = address.port; ; port += 1) {
    try {
      server.listen({ host: address.host, port, exclusive: true });
      await once(server, "listening");
      const bound = server.address();
      return typeof bound === "object" && bound !== null ? bound.port : port;
    } catch (error) {
      const isTaken = error instanceof Error && "code" in error && error.code === "EADDRINUSE";
      if (!isTaken || port >= last) throw error;
    }
  }
}

function respond(request: IncomingMessage, response: ServerResponse, source: InspectorSource, ownHost: string): void {
  const send = (status: number, type: string, body: string, fields: Record<string, string> = {}): void => {
    const length = String(Buffer.byteLength(body));
    response.writeHead(status, { ...HEADERS, "content-type": type, "content-length": length, ...fields });
    response.end(request.method === "HEAD" ? undefined : body);
  };
  const json = (status: number, value: unknown): void => send(status, "application/json", `${JSON.stringify(value)}\n`);
  request.resume();
  if (!isTrustedRequest(request.headers, ownHost)) {
    json(403, {
      error: "this API answers requests made to this machine by its address or as localhost, from no other site",
    });
    return;
  }
  const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
  if (request.method !== "GET" && request.method !== "HEAD") {
    send(405, "application/json", '{"error":"read only"}\n', { allow: "GET, HEAD" });
    return;
  }
  if (path === "/") {
    send(200, "text/html; charset=utf-8", renderPage(source));
  } else if (path === "/api/status") {
    const isOnline = source.isOnline();
    json(isOnline ? 200 : 503, {
      status: isOnline ? "online" : "offline",
      session: source.phase(),
      relay: source.relay,
      version: source.version,
      latency_ms: source.latencyMs() ?? null,
    });
  } else if (path === "/api" || path === "/api/") {
    json(200, { uri: "/api", tunnels: "/api/tunnels", status: "/api/status" });
  } else if (path === "/api/tunnels" || path === "/api/tunnels/") {
    json(200, { tunnels: onlineTunnels(source).map((tunnel) => describeTunnel(tunnel)), uri: "/api/tunnels" });
  } else if (path.startsWith("/api/tunnels/")) {
    const name = path.slice("/api/tunnels/".length);
    const tunnel = onlineTunnels(source).find((t) => encodeURIComponent(t.name) === name);
    if (tunnel === undefined)
      json(404, { error_code: 100, status_code: 404, msg: "tunnel not found", details: { tunnel: name } });
    else json(200, describeTunnel(tunnel));
  } else {
    json(404, { error: "not found" });
  }
}

function onlineTunnels(source: InspectorSource): (TunnelView & { url: string })[] {
  return source.tunnels().flatMap((tunnel) => (tunnel.url === undefined ? [] : [{ ...tunnel, url: tunnel.url }]));
}

/** ngrok's shape; its durations are nanoseconds. */
function describeTunnel(tunnel: TunnelView & { url: string }): unknown {
  const f = tunnel.figures;
  const ns = (ms: number): number => Math.round(ms * 1e6);
  const figures = {
    count: f.total,
    rate1: f.rate1,
    rate5: f.rate5,
    rate15: f.rate15,
    p50: ns(f.p50Ms),
    p90: ns(f.p90Ms),
    p95: ns(f.p95Ms),
    p99: ns(f.p99Ms),
  };
  return {
    name: tunnel.name,
    ID: tunnel.name,
    uri: `/api/tunnels/${encodeURIComponent(tunnel.name)}`,
    public_url: tunnel.url,
    proto: tunnel.url.split(":", 1)[0],
    config: { addr: tunnel.target, inspect: tunnel.isInspected },
    metrics: { conns: { ...figures, gauge: f.open }, http: figures },
  };
}

function renderPage(source: InspectorSource): string {
  const rows = onlineTunnels(source).map(
    (t) =>
      `<li><a href="${escapeHtml(t.url)}" rel="noreferrer">${escapeHtml(t.url)}</a> → ${escapeHtml(t.target)}</li>`,
  );
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>ggrok</title>
<style>body{font:16px/1.5 system-ui;margin:3rem auto;max-width:40rem;padding:0 1rem;color-scheme:light dark}</style>
<h1>ggrok</h1><p>${source.isOnline() ? "Online" : "Not online"}, relay ${escapeHtml(source.relay)}</p><ul>${rows.join("")}</ul>
<p>For scripts: <a href="/api/tunnels">/api/tunnels</a>, <a href="/api/status">/api/status</a></p></html>
`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}
