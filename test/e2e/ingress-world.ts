import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import {
  createMemoryLink,
  GgrokError,
  type HeaderList,
  type HttpOpenHead,
  type MuxStream,
  type ResponseHead,
  Session,
  type SessionHandler,
  type StreamHandler,
  type StreamReset,
} from "@ggrok/protocol";
import { TrustedPeers } from "../../packages/server/src/ingress/forwarded.ts";
import { Ingress, type IngressConfig } from "../../packages/server/src/ingress/ingress.ts";
import type { ExchangeRecord } from "../../packages/server/src/observability/access-log.ts";
import { createLogger } from "../../packages/server/src/observability/logger.ts";
import type { ParkResult, Route, Router } from "../../packages/server/src/registry/route.ts";

const DEADLINE_MS = 10_000;

/** Waits for a condition that events change; fails at the deadline and says what it waited for. */
class Signal {
  readonly #waiting = new Set<() => void>();

  notify(): void {
    for (const check of this.#waiting) check();
  }

  until(what: string, test: () => boolean): Promise<void> {
    if (test()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const check = (): void => {
        if (!test()) return;
        this.#waiting.delete(check);
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(check);
        reject(new Error(`waited in vain for: ${what}`));
      }, DEADLINE_MS);
      this.#waiting.add(check);
    });
  }
}

/** One exchange as the app's end of the tunnel sees it. */
export class Exchange implements StreamHandler {
  readonly stream: MuxStream;
  readonly head: HttpOpenHead;
  readonly signal = new Signal();
  #chunks: Buffer[] = [];
  bytes = 0;
  trailers: HeaderList | undefined;
  hasEnded: boolean;
  reset: StreamReset | undefined;
  /** Take nothing: the next chunks stay in the stream until `stream.resume()`. */
  isFull = false;
  drains = 0;

  constructor(stream: MuxStream, head: HttpOpenHead, fin: boolean) {
    this.stream = stream;
    this.head = head;
    this.hasEnded = fin;
  }

  get body(): Buffer {
    return Buffer.concat(this.#chunks);
  }
  field(name: string): string | undefined {
    const i = this.head.fields.findIndex((field, at) => at % 2 === 0 && field.toLowerCase() === name);
    return i < 0 ? undefined : this.head.fields[i + 1];
  }

  /** Answers in one go, or without a body leaves the answer open. */
  answer(status: number, fields: HeaderList, body?: string | Buffer): void {
    this.stream.dispatched = true;
    this.stream.sendHead({ status, reason: "OK", fields });
    if (body !== undefined) this.stream.end(Buffer.from(body));
  }

  async untilEnded(): Promise<Buffer> {
    await this.signal.until("the end of the request", () => this.hasEnded);
    return this.body;
  }
  async untilReset(): Promise<StreamReset> {
    await this.signal.until("a reset", () => this.reset !== undefined);
    if (this.reset === undefined) throw new Error("no reset");
    return this.reset;
  }

  onHead(_head: ResponseHead): void {}
  onData(chunk: Buffer, fin: boolean): boolean {
    this.#chunks.push(Buffer.from(chunk));
    this.bytes += chunk.length;
    if (fin) this.hasEnded = true;
    this.signal.notify();
    return !this.isFull;
  }
  onTrailers(fields: HeaderList): void {
    this.trailers = fields;
    this.hasEnded = true;
    this.signal.notify();
  }
  onReset(reset: StreamReset): void {
    this.reset = reset;
    this.signal.notify();
  }
  onDrain(): void {
    this.drains += 1;
    this.signal.notify();
  }
}

/** An agent: the far end of one session. */
export interface TestAgent {
  relay: Session;
  agent: Session;
  /** The session ends for good; the agent's account says what it had not given to the app. */
  lose(account?: { lastStream: number; undispatched: number[] }): void;
}

export type App = (exchange: Exchange) => void;

/** How a world differs from the usual one. */
export interface WorldOptions {
  config?: Partial<IngressConfig>;
  /** Networks of trusted front ends. */
  trustProxy?: readonly string[];
  stripPrefix?: string;
  /** Agents at the start. */
  agents?: number;
}

/** A relay's visitors' side with real sockets, joined in memory to agents whose app is a function. */
export class IngressWorld implements AsyncDisposable {
  readonly server: Server;
  readonly ingress: Ingress;
  readonly records: ExchangeRecord[] = [];
  readonly exchanges: Exchange[] = [];
  readonly signal = new Signal();
  readonly #agents: TestAgent[] = [];
  readonly #clients = new Set<Visitor>();
  readonly #sockets = new Set<Socket>();
  redispatches = 0;
  refusedConnections = 0;
  parked = 0;
  app: App = (exchange) => exchange.answer(200, [], "ok");

  constructor(o: WorldOptions = {}) {
    this.ingress = new Ingress({
      router: this.#router(o.stripPrefix),
      config: { parkMs: 5_000, ...o.config },
      trusted: new TrustedPeers(o.trustProxy ?? []),
      logger: createLogger({ format: "json", level: "silent" }),
      metrics: {
        countExchange: (record) => {
          this.records.push(record);
          this.signal.notify();
        },
        countRedispatch: () => {
          this.redispatches += 1;
        },
        countRefusedConnection: () => {
          this.refusedConnections += 1;
        },
      },
      relayId: "r1",
      isOverloaded: () => false,
    });
    const { ingress } = this;
    const options = {
      requireHostHeader: false,
      maxHeaderSize: 32_768,
      requestTimeout: 0,
      shouldUpgradeCallback: (req: Parameters<Ingress["shouldUpgrade"]>[0]) => ingress.shouldUpgrade(req),
    };
    this.server = createServer(options, (req, res) => ingress.onRequest(req, res));
    this.server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
      if (!ingress.admits(socket)) socket.destroy();
    });
    this.server.on("checkContinue", (req, res) => ingress.onRequest(req, res));
    this.server.on("checkExpectation", (req, res) => ingress.onRequest(req, res));
    this.server.on("upgrade", (req, socket, head) => ingress.onUpgrade(req, socket, head));
    this.server.on("connect", (req, socket, head) => ingress.onConnect(req, socket, head));
    this.server.on("clientError", (error, socket) => ingress.onClientError(error, socket));
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async listen(): Promise<this> {
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    return this;
  }

  #router(stripPrefix: string | undefined): Router {
    const route: Route = {
      url: "http://a.test",
      stripPrefix,
      open: (head, handler, o) => {
        const agent = this.#agents.find((candidate) => candidate.relay.canOpen);
        return agent?.relay.open({ ...head, bind: 1 }, handler, o);
      },
      park: (_bytes, signal) => this.#park(signal),
    };
    return { find: (host) => (host === "a.test" ? route : undefined) };
  }

  async #park(signal: AbortSignal): Promise<ParkResult> {
    this.parked += 1;
    this.signal.notify();
    await this.signal.until("an agent, or the end of the wait", () => {
      return signal.aborted || this.parkResult !== undefined || this.#agents.some((agent) => agent.relay.canOpen);
    });
    return signal.aborted ? "aborted" : (this.parkResult ?? "ready");
  }
  parkResult: ParkResult | undefined;

  /** What waiting visitors are told. */
  endParking(result: ParkResult): void {
    this.parkResult = result;
    this.signal.notify();
  }

  addAgent(): TestAgent {
    const heartbeat = { intervalMs: 60_000, timeoutMs: 120_000 };
    const silent: SessionHandler = { onStream() {}, onControl() {}, onState() {}, onClosed() {} };
    const limits = { resumable: false, localWindow: 262_144, peerWindow: 65_536, heartbeat };
    const relay = new Session({
      side: "listener",
      id: "s",
      ...limits,
      peerMaxStreams: 1_000,
      localMaxStreams: 0,
      handler: silent,
    });
    const onStream: SessionHandler["onStream"] = (stream, head, fin) => {
      if (head.kind === "tcp") throw new Error("unexpected kind");
      const exchange = new Exchange(stream, head, fin);
      stream.handler = exchange;
      this.exchanges.push(exchange);
      this.app(exchange);
      this.signal.notify();
    };
    const agent = new Session({
      side: "dialler",
      id: "s",
      ...limits,
      peerMaxStreams: 0,
      localMaxStreams: 1_000,
      handler: { ...silent, onStream },
    });
    const [relayEnd, agentEnd] = createMemoryLink();
    relay.attach(relayEnd);
    agent.attach(agentEnd);
    const result: TestAgent = {
      relay,
      agent,
      lose: (account) => {
        this.#agents.splice(this.#agents.indexOf(result), 1);
        relay.destroy(new GgrokError("ERR_GGROK_SESSION_LOST"), account);
        agent.destroy(new GgrokError("ERR_GGROK_SESSION_LOST"));
      },
    };
    this.#agents.push(result);
    this.signal.notify();
    return result;
  }

  /** The n-th exchange that reached an app. */
  async exchange(n: number): Promise<Exchange> {
    await this.signal.until(`exchange ${n}`, () => this.exchanges.length > n);
    const exchange = this.exchanges[n];
    if (exchange === undefined) throw new Error("no exchange");
    return exchange;
  }

  async record(n = 0): Promise<ExchangeRecord> {
    await this.signal.until(`record ${n}`, () => this.records.length > n);
    const record = this.records[n];
    if (record === undefined) throw new Error("no record");
    return record;
  }

  async visit(text?: string, o: { allowHalfOpen?: boolean } = {}): Promise<Visitor> {
    const visitor = new Visitor(
      connect({ port: this.port, host: "127.0.0.1", allowHalfOpen: o.allowHalfOpen ?? false }),
    );
    this.#clients.add(visitor);
    await once(visitor.socket, "connect");
    if (text !== undefined) visitor.send(text);
    return visitor;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.socket.destroy();
    for (const agent of [...this.#agents]) agent.lose();
    this.ingress.destroy();
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve());
    });
    await this.ingress.close();
  }
}

/** A visitor who speaks raw bytes. */
export class Visitor {
  readonly socket: Socket;
  readonly #signal = new Signal();
  /** Everything received, as latin1. */
  text = "";
  bytes = 0;
  hasEnded = false;
  isClosed = false;
  error: NodeJS.ErrnoException | undefined;
  /** Count what comes, do not keep it. */
  isCounting = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.bytes += chunk.length;
      if (!this.isCounting) this.text += chunk.toString("latin1");
      this.#signal.notify();
    });
    socket.on("end", () => {
      this.hasEnded = true;
      this.#signal.notify();
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      this.error = error;
    });
    socket.on("close", () => {
      this.isClosed = true;
      this.#signal.notify();
    });
  }

  send(text: string | Buffer): void {
    this.socket.write(typeof text === "string" ? Buffer.from(text, "latin1") : text);
  }

  /** Waits until the text holds something, and gives all of it. */
  async until(part: string | RegExp): Promise<string> {
    const has = (): boolean => (typeof part === "string" ? this.text.includes(part) : part.test(this.text));
    await this.#signal.until(`${String(part)} in ${JSON.stringify(this.text.slice(-300))}`, has);
    return this.text;
  }
  async untilBytes(count: number): Promise<void> {
    await this.#signal.until(`${count} bytes`, () => this.bytes >= count);
  }
  async untilClosed(): Promise<string> {
    await this.#signal.until("the end of the connection", () => this.isClosed);
    return this.text;
  }
  async untilEnded(): Promise<string> {
    await this.#signal.until("a half-close", () => this.hasEnded);
    return this.text;
  }
}

/** Starts a world; with an agent unless told otherwise. */
export async function startIngress(o: WorldOptions = {}): Promise<IngressWorld> {
  const world = new IngressWorld(o);
  for (let i = 0; i < (o.agents ?? 1); i += 1) world.addAgent();
  return world.listen();
}

/** A GET for the one host that has a tunnel. */
export function get(target = "/", fields = "", version = "1.1"): string {
  return `GET ${target} HTTP/${version}\r\nHost: a.test\r\n${fields}\r\n`;
}
