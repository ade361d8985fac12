import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { buffer } from "node:stream/consumers";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { WebSocketServer } from "ws";

/** One pixel. */
const PNG = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);
/** Would say so if any of it were run: by a script, by a handler of an event, by an image from elsewhere. */
const HOSTILE_HTML = `<!doctype html><title>taken over</title><script>window.hacked = "script"</script>
<img src="http://127.0.0.1:9/leak.png" onerror="window.hacked = 'handler'"><style>body { display: none }</style>
<iframe srcdoc="<script>parent.hacked = 'frame'</script>"></iframe><p>it's hostile</p>`;
const HOSTILE_SVG = `<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><script>window.hacked = "svg"</script><image href="http://127.0.0.1:9/leak.png"/><rect width="40" height="20" fill="teal"/></svg>`;

type Answer = (response: ServerResponse, body: Buffer, request: IncomingMessage) => void;

/** An app that answers in every form the page has a view for. */
export function createInspectedApp(): Server {
  let count = 0;
  const hanging: ServerResponse[] = [];
  const text = (type: string, content: string | Buffer, fields: Record<string, string> = {}): Answer => {
    return (response) => response.writeHead(200, { "content-type": type, ...fields }).end(content);
  };
  const order = { id: 9007199254740993n, total: 12.5, items: [{ sku: "tea", count: 2 }], note: null, isPaid: true };
  const json = JSON.stringify(order, (_key, value) => (typeof value === "bigint" ? "BIG" : value)).replace(
    '"BIG"',
    String(order.id),
  );
  const answers: Readonly<Record<string, Answer>> = {
    "/json": text("application/json", json),
    "/gzip": text("application/json", gzipSync(json), { "content-encoding": "gzip" }),
    "/br": text("text/css", brotliCompressSync("p { color: teal }"), { "content-encoding": "br" }),
    "/html": text("text/html; charset=utf-8", HOSTILE_HTML),
    "/svg": text("image/svg+xml", HOSTILE_SVG),
    "/png": text("image/png", PNG),
    "/js": text("text/javascript", "export const answer = 42; // the answer\n"),
    "/text": text("text/plain; charset=utf-8", "plain wörds\nin two lines\n"),
    "/bytes": text("application/octet-stream", Buffer.from([0, 1, 2, 254, 255, 71, 71])),
    "/cookies": (response) =>
      response.writeHead(200, { "set-cookie": ["session=s3cret; HttpOnly; Path=/", "theme=dark"] }).end("two cookies"),
    "/order": (response, body, request) => {
      count += 1;
      const seen = { count, method: request.method, note: request.headers["x-note"] ?? null, got: String(body) };
      response.writeHead(200, { "content-type": "application/json", "x-count": String(count) });
      response.end(JSON.stringify(seen));
    },
    "/lines": (response) => {
      count += 1;
      response.writeHead(200, { "content-type": "text/plain" }).end(`first\nturn ${count}\nlast\n`);
    },
    "/hang": (response) => hanging.push(response),
    "/release": (response) => {
      for (const one of hanging.splice(0)) one.headersSent ? one.end() : one.end('{"late":true}');
      response.end();
    },
    "/stalls": (response) => {
      response.writeHead(200, { "content-type": "text/plain" }).write("the first half");
      hanging.push(response);
    },
    "/missing": (response) => response.writeHead(404, { "content-type": "text/plain" }).end("no such thing"),
    "/broken": (response) => response.writeHead(500, { "content-type": "text/plain" }).end("broken"),
    "/events": (response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.end('event: tick\ndata: {"n": 1}\n\ndata: second\n\n');
    },
  };
  const server = createServer((request, response) => {
    void buffer(request).then((body) => {
      const answer = answers[(request.url ?? "").split("?", 1)[0]?.replace(/^\/hang\/.*/, "/hang") ?? ""];
      if (answer === undefined) response.end(`hello ${request.method} ${request.url}`);
      else answer(response, body, request);
    });
  });
  const sockets = new WebSocketServer({ server });
  sockets.on("connection", (socket) => {
    socket.on("message", (data, isBinary) => socket.send(isBinary ? data : `echo ${String(data)}`));
  });
  return server;
}
