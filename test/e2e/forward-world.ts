import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Socket, type Server as TcpServer } from "node:net";
import type { HeaderList, HttpOpenHead, MuxStream, ResponseHead, StreamHandler, StreamReset } from "@ggrok/protocol";
import { ResetCode } from "@ggrok/protocol";
import type { ExchangeEvent } from "../../packages/client/src/forward/exchange.ts";
import { createForwarder, type Forwarder, type ForwarderOptions } from "../../packages/client/src/forward/forwarder.ts";
import { parseTarget } from "../../packages/client/src/forward/target.ts";

const DEADLINE_MS = 5_000;

/** A forwarder before a real app, with the visitor's end of its streams in the test's hands. */
export class ForwardWorld implements AsyncDisposable {
  readonly events: ExchangeEvent[] = [];
  readonly forwarder: Forwarder;
  #lastId = 0;

  constructor(target: string | number, options: Partial<ForwarderOptions> = {}) {
    this.forwarder = createForwarder({
      target: parseTarget(String(target)),
      tunnel: "demo",
      onExchange: (event) => this.events.push(event),
      ...options,
    });
  }

  /** A visitor's request arrives. Without `body` it has none and ends with its head. */
  open(o: {
    method?: string;
    target?: string;
    fields?: HeaderList;
    kind?: "http" | "upgrade";
    isOpen?: boolean;
    body?: Buffer | string;
  }): Visit {
    const head: HttpOpenHead = {
      kind: o.kind ?? "http",
      bind: 1,
      requestId: `r${++this.#lastId}`,
      method: o.method ?? "GET",
      target: o.target ?? "/",
      version: "1.1",
      fields: o.fields ?? ["Host", "demo.test"],
      meta: { client: "192.0.2.7" },
    };
    const fin = o.isOpen !== true && o.body === undefined;
    const visit = new Visit();
    this.forwarder.onStream(visit.stream, head, fin);
    visit.stream.remoteEnded = fin;
    if (o.body !== undefined) visit.end(o.body);
    return visit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.forwarder.destroy();
    await this.forwarder.close();
  }
}

/** The visitor's end of one exchange. */
export class Visit {
  readonly stream: FakeStream;
  readonly heads: ResponseHead[] = [];
  readonly chunks: Buffer[] = [];
  trailers: HeaderList | undefined;
  isEnded = false;
  reset: { code: ResetCode; message: string; notProcessed: boolean } | undefined;
  stopSending = false;
  #watchers = new Set<() => void>();

  constructor() {
    this.stream = new FakeStream(this);
  }

  get final(): ResponseHead | undefined {
    return this.heads.find((head) => head.status >= 200 || head.status === 101);
  }
  get body(): Buffer {
    return Buffer.concat(this.chunks);
  }

  /** @returns whether the app took it at once */
  write(chunk: Buffer | string): boolean {
    return this.stream.receive(Buffer.from(chunk), false);
  }
  end(chunk: Buffer | string = ""): void {
    this.stream.receive(Buffer.from(chunk), true);
  }
  sendTrailers(fields: HeaderList): void {
    this.stream.remoteEnded = true;
    this.stream.handler.onTrailers(fields);
  }
  /** The visitor goes away. */
  leave(): void {
    const reset: StreamReset = { code: ResetCode.VisitorLeft, notProcessed: false, message: "", local: false };
    this.stream.isClosed = true;
    this.stream.handler.onReset(reset);
  }

  answered(): Promise<ResponseHead> {
    return this.until(() => this.final);
  }
  async ended(): Promise<{ status: number; body: Buffer; trailers: HeaderList | undefined }> {
    await this.until(() => {
      if (this.reset !== undefined) throw new Error(`reset ${this.reset.code}: ${this.reset.message}`);
      return this.isEnded;
    });
    return { status: this.final?.status ?? 0, body: this.body, trailers: this.trailers };
  }
  failed(): Promise<{ code: ResetCode; message: string; notProcessed: boolean }> {
    return this.until(() => this.reset);
  }

  /** Waits until `check` gives something; fails with what has come after the deadline. */
  until<T>(check: () => T | undefined | false): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#watchers.delete(look);
        reject(
          new Error(
            `not in ${DEADLINE_MS} ms; heads ${JSON.stringify(this.heads)}, ${this.body.length} bytes, reset ${JSON.stringify(this.reset)}`,
          ),
        );
      }, DEADLINE_MS);
      const look = () => {
        let value: T | undefined | false;
        try {
          value = check();
        } catch (error) {
          reject(error);
        }
        if (value === undefined || value === false) return;
        clearTimeout(timer);
        this.#watchers.delete(look);
        resolve(value);
      };
      this.#watchers.add(look);
      look();
    });
  }
  changed(): void {
    for (const look of [...this.#watchers]) look();
  }
}

const NOBODY: StreamHandler = { onData: () => true, onTrailers() {}, onReset() {}, onDrain() {} };

/** A stream without a session: what the forwarder sends lands in the visit. */
class FakeStream implements MuxStream {
  readonly id = 1;
  readonly openWritten = true;
  handler: StreamHandler = NOBODY;
  dispatched = false;
  remoteEnded = false;
  localEnded = false;
  isClosed = false;
  bytesIn = 0;
  bytesOut = 0;
  /** The visitor does not read: write() returns false. */
  isStalled = false;
  #visit: Visit;
  #waiting: { chunk: Buffer; fin: boolean }[] = [];
  #isPaused = false;

  constructor(visit: Visit) {
    this.#visit = visit;
  }

  receive(chunk: Buffer, fin: boolean): boolean {
    this.remoteEnded ||= fin;
    this.bytesIn += chunk.length;
    if (this.#isPaused) this.#waiting.push({ chunk, fin });
    else if (!this.isClosed) this.#isPaused = !this.handler.onData(chunk, fin);
    return !this.#isPaused;
  }
  resume(): void {
    this.#isPaused = false;
    while (!this.#isPaused) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      this.#isPaused = !this.handler.onData(next.chunk, next.fin);
    }
    this.#visit.changed();
  }
  get isPaused(): boolean {
    return this.#isPaused;
  }
  drain(): void {
    this.isStalled = false;
    this.handler.onDrain();
  }

  sendHead(head: ResponseHead, fin = false): void {
    if (this.localEnded || this.isClosed) throw new Error("head after the end");
    this.#visit.heads.push(head);
    if (fin) this.end();
    this.#visit.changed();
  }
  write(chunk: Buffer): boolean {
    if (this.localEnded || this.#visit.final === undefined) throw new Error("data out of place");
    this.bytesOut += chunk.length;
    this.#visit.chunks.push(chunk);
    this.#visit.changed();
    return !this.isStalled;
  }
  end(chunk?: Buffer): void {
    if (chunk !== undefined) this.write(chunk);
    if (this.#visit.final === undefined) throw new Error("end before the head");
    this.localEnded = true;
    this.#visit.isEnded = true;
    this.#visit.changed();
  }
  sendTrailers(fields: HeaderList): void {
    this.#visit.trailers = fields;
    this.end();
  }
  reset(code: ResetCode, o: { message?: string; notProcessed?: boolean } = {}): void {
    if (this.isClosed) return;
    this.isClosed = true;
    if (code === ResetCode.StopSending && this.localEnded) this.#visit.stopSending = true;
    else this.#visit.reset = { code, message: o.message ?? "", notProcessed: o.notProcessed ?? false };
    this.#visit.changed();
  }
}

/** An HTTP app on loopback. */
export async function startApp(
  listener: (...o: Parameters<RequestListener>) => unknown,
  host = "127.0.0.1",
): Promise<App<Server>> {
  return listen(
    createServer((request, response) => void listener(request, response)),
    host,
  );
}

/** An app that speaks bytes: to see a request as it was sent, and to answer what no HTTP server would. */
export async function startRawApp(
  onConnection: (socket: Socket, received: Received) => unknown,
  host = "127.0.0.1",
): Promise<App<TcpServer>> {
  const server = createTcpServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    void onConnection(socket, new Received(socket));
  });
  return listen(server, host);
}

export interface App<T> extends AsyncDisposable {
  readonly server: T;
  readonly port: number;
  readonly sockets: ReadonlySet<Socket>;
}

async function listen<T extends TcpServer>(server: T, host: string): Promise<App<T>> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.listen(0, host);
  await once(server, "listening");
  return {
    server,
    port: (server.address() as AddressInfo).port,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** The bytes that came over one connection, as latin1. */
export class Received {
  text = "";
  #watchers = new Set<() => void>();

  constructor(socket: Socket) {
    socket.on("data", (chunk) => {
      this.text += chunk.toString("latin1");
      for (const look of [...this.#watchers]) look();
    });
  }

  /** Waits until `text` includes `part`. */
  async until(part: string, count = 1): Promise<string> {
    await new Promise<void>((resolve) => {
      const look = () => {
        if (this.text.split(part).length <= count) return;
        this.#watchers.delete(look);
        resolve();
      };
      this.#watchers.add(look);
      look();
    });
    return this.text;
  }
}

/** Waits for an event of any emitter, with a deadline. */
export async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not in ${DEADLINE_MS} ms: ${what}`)), DEADLINE_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
