import { Agent, createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { Pool } from "undici";

/**
 * What a reverse proxy costs in Node without any tunnel, a program of its own: `node-proxy.ts http|undici ORIGIN_PORT`.
 * One hop and one process where a tunnel has two, so these are the figures a tunnel is to be measured by.
 */
const [kind, originPort] = process.argv.slice(2);
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
  "te",
  "trailer",
]);

function withoutHopByHop(raw: readonly string[]): string[] {
  const fields: string[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? "";
    if (!HOP_BY_HOP.has(name.toLowerCase())) fields.push(name, raw[i + 1] ?? "");
  }
  return fields;
}

function fail(response: ServerResponse): void {
  if (!response.headersSent) response.writeHead(502);
  response.end();
}

function createHttpHandler(): (request: IncomingMessage, response: ServerResponse) => void {
  const agent = new Agent({ keepAlive: true, maxSockets: 1_024, maxFreeSockets: 1_024 });
  return (request, response) => {
    const upstream = httpRequest(
      {
        host: "127.0.0.1",
        port: originPort,
        agent,
        method: request.method,
        path: request.url,
        headers: withoutHopByHop(request.rawHeaders),
      },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, withoutHopByHop(answer.rawHeaders));
        answer.pipe(response);
      },
    );
    upstream.on("error", () => fail(response));
    request.pipe(upstream);
  };
}

function createUndiciHandler(): (request: IncomingMessage, response: ServerResponse) => void {
  const pool = new Pool(`http://127.0.0.1:${originPort}`, {
    connections: 256,
    pipelining: 1,
    bodyTimeout: 0,
    headersTimeout: 0,
  });
  return (request, response) => {
    const hasBody =
      request.headers["content-length"] !== undefined || request.headers["transfer-encoding"] !== undefined;
    pool.dispatch(
      {
        method: request.method as "GET",
        path: request.url ?? "/",
        headers: withoutHopByHop(request.rawHeaders),
        body: hasBody ? request : null,
      },
      {
        onRequestStart(controller) {
          response.on("close", () => {
            if (!response.writableFinished) controller.abort(new Error("the visitor left"));
          });
          response.on("drain", () => controller.resume());
        },
        onResponseStart(controller, status, headers) {
          const raw = controller.rawHeaders;
          if (!Array.isArray(raw)) {
            response.writeHead(status, headers);
            return;
          }
          response.writeHead(
            status,
            withoutHopByHop(raw.map((text) => (typeof text === "string" ? text : text.toString("latin1")))),
          );
        },
        onResponseData(controller, chunk) {
          if (!response.write(chunk)) controller.pause();
        },
        onResponseEnd() {
          response.end();
        },
        onResponseError() {
          fail(response);
        },
      },
    );
  };
}

const server = createServer(
  { keepAliveTimeout: 300_000, requestTimeout: 0 },
  kind === "undici" ? createUndiciHandler() : createHttpHandler(),
);
server.listen({ port: 0, host: "127.0.0.1", backlog: 4_096 }, () => {
  const address = server.address();
  if (address !== null && typeof address === "object") console.log(JSON.stringify({ port: address.port }));
});
