import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocketServer } from "ws";

/** Longest piece of {@link pattern} at once. */
const PATTERN_MAX = 262_144;
const PERIOD = 251;
const repeated = Buffer.from(Array.from({ length: PATTERN_MAX + PERIOD }, (_, i) => i % PERIOD));

/** Part of every generated body: byte i is i modulo 251. A view that is not to be written to. */
export function pattern(offset: number, length: number): Buffer {
  if (length > PATTERN_MAX) throw new RangeError(`${length} bytes, ${PATTERN_MAX} at most`);
  const start = offset % PERIOD;
  return repeated.subarray(start, start + length);
}

/** Digest of the first `length` bytes of {@link pattern}. */
export function patternDigest(length: number): string {
  const hash = createHash("sha256");
  for (let at = 0; at < length; at += 65_536) hash.update(pattern(at, Math.min(65_536, length - at)));
  return hash.digest("hex");
}

/**
 * The app behind the tunnel in fault tests. It counts what it was asked by id, so that nothing can be done twice unseen.
 *
 * `/get/ID` · `POST /post/ID` echo · `/down?bytes=N&pause=MS` · `POST /sink` answers digest and size ·
 * `/sse?every=MS&count=N` numbered events · `/hang` never answers · `/die?after=N` breaks off · WebSocket anywhere: echo
 */
export class FaultApp implements AsyncDisposable {
  readonly server: Server;
  readonly #sockets: WebSocketServer;
  /** How often each id was asked for. */
  readonly counts = new Map<string, number>();
  /** Requests whose visitor left before the answer was complete. */
  aborted = 0;
  /** Bytes of downloads handed to sockets so far. */
  sentBytes = 0;
  /** Requests being answered now. */
  active = 0;

  private constructor(server: Server) {
    this.server = server;
    this.#sockets = new WebSocketServer({ server });
    this.#sockets.on("connection", (socket) => {
      socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
    });
  }

  static async start(port = 0): Promise<FaultApp> {
    const server = createServer();
    const app = new FaultApp(server);
    server.on("request", (request, response) => app.#onRequest(request, response));
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return app;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Ids that were asked for more than once. */
  get doubled(): string[] {
    return [...this.counts].filter(([, count]) => count > 1).map(([id]) => id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#sockets.clients) client.terminate();
    this.#sockets.close();
    const closed = new Promise((done) => this.server.close(done));
    this.server.closeAllConnections();
    await closed;
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    this.active += 1;
    response.on("close", () => {
      this.active -= 1;
      if (!response.writableFinished) this.aborted += 1;
    });
    response.on("error", () => {});
    request.on("error", () => {});
    const url = new URL(request.url ?? "/", "http://app");
    const [, kind, id = ""] = url.pathname.split("/");
    const number = (name: string, otherwise: number): number => Number(url.searchParams.get(name) ?? otherwise);
    switch (kind) {
      case "get":
      case "post":
        this.counts.set(id, (this.counts.get(id) ?? 0) + 1);
        response.writeHead(200, { "content-type": "application/octet-stream", "x-id": id });
        request.pipe(response);
        if (kind === "get") response.end(id);
        return;
      case "down":
        void this.#send(response, number("bytes", 1_000), number("pause", 0));
        return;
      case "sink":
        this.#sink(request, response);
        return;
      case "sse":
        void this.#events(response, number("every", 100), number("count", 10));
        return;
      case "die":
        response.writeHead(200, { "content-length": String(number("after", 0) + 1_000) });
        for (let at = 0; at < number("after", 0); at += 65_536) {
          response.write(pattern(at, Math.min(65_536, number("after", 0) - at)));
        }
        response.write("", () => response.socket?.resetAndDestroy());
        return;
      case "hang":
        return;
      default:
        response.end("ok");
    }
  }

  async #send(response: ServerResponse, bytes: number, pauseMs: number): Promise<void> {
    response.writeHead(200, { "content-length": String(bytes) });
    for (let at = 0; at < bytes && !response.destroyed; at += 65_536) {
      this.sentBytes += Math.min(65_536, bytes - at);
      if (!response.write(pattern(at, Math.min(65_536, bytes - at)))) {
        await new Promise<void>((resolve) => {
          const go = (): void => {
            response.off("drain", go).off("close", go);
            resolve();
          };
          response.on("drain", go).on("close", go);
        });
      }
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    response.end();
  }

  #sink(request: IncomingMessage, response: ServerResponse): void {
    const hash = createHash("sha256");
    let bytes = 0;
    request.on("data", (chunk: Buffer) => {
      hash.update(chunk);
      bytes += chunk.length;
    });
    request.on("end", () => response.end(JSON.stringify({ bytes, sha256: hash.digest("hex") })));
  }

  async #events(response: ServerResponse, everyMs: number, count: number): Promise<void> {
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (let i = 0; i < count && !response.destroyed; i += 1) {
      response.write(`id: ${i}\ndata: event ${i}\n\n`);
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
    response.end();
  }
}
