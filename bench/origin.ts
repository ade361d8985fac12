import { createServer, type ServerResponse } from "node:http";

/**
 * The app behind every target, a program of its own: `GET /1k`, `GET /bulk?n=BYTES`, `PUT /sink`. As small as a
 * node:http server gets, since it is also the yardstick "direct node:http".
 */
const SMALL = Buffer.alloc(1_024, "x");
const CHUNK = Buffer.alloc(65_536, "y");
const SMALL_HEAD = { "content-type": "application/octet-stream", "content-length": SMALL.length };

function sendBulk(response: ServerResponse, length: number): void {
  let left = length;
  response.writeHead(200, { "content-type": "application/octet-stream", "content-length": length });
  const pump = (): void => {
    while (left > 0) {
      const chunk = left >= CHUNK.length ? CHUNK : CHUNK.subarray(0, left);
      left -= chunk.length;
      if (!response.write(chunk)) return;
    }
    response.end();
  };
  response.on("drain", pump);
  pump();
}

const server = createServer({ keepAliveTimeout: 300_000, requestTimeout: 0 }, (request, response) => {
  const target = request.url ?? "/";
  if (target === "/1k") {
    response.writeHead(200, SMALL_HEAD);
    response.end(SMALL);
  } else if (target.startsWith("/bulk")) {
    sendBulk(response, Number(new URL(target, "http://origin").searchParams.get("n") ?? 1_073_741_824));
  } else if (target.startsWith("/sink")) {
    let received = 0;
    request.on("data", (chunk: Buffer) => (received += chunk.length));
    request.on("end", () => response.end(String(received)));
  } else {
    response.writeHead(404).end();
  }
});
server.listen({ port: Number(process.argv[2] ?? 0), host: "127.0.0.1", backlog: 4_096 }, () => {
  const address = server.address();
  if (address !== null && typeof address === "object") console.log(JSON.stringify({ port: address.port }));
});
