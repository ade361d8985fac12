import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { createRelay, type Relay, type RelayOptions } from "@ggrok/server";
import { type ForwardOptions, forward, type Listener } from "ggrok";
import { ByteReader, type End } from "../harness/byte-reader.ts";
import { Changes, DEADLINE_MS, within } from "../harness/deadline.ts";

/** One connection at the service behind a tunnel, which reads everything unless it is told not to. */
export interface Accepted {
  readonly socket: Socket;
  readonly reader: ByteReader;
}

/** A TCP service that does what its connections are told. */
export class TcpService implements AsyncDisposable {
  readonly accepted: Accepted[] = [];
  readonly changes = new Changes();
  /** Runs for each connection, before anything of it is read. */
  onAccept: (socket: Socket) => void = () => {};
  /** False: connections are left unread. */
  isReading = true;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
      this.onAccept(socket);
      socket.on("error", () => {});
      if (this.isReading) this.accepted.push({ socket, reader: new ByteReader(socket) });
      this.changes.notify();
    });
  }

  static async start(port = 0): Promise<TcpService> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    const service = new TcpService(server);
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return service;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The connection with this number, once it is there. */
  async connection(index = 0, ms: number = DEADLINE_MS): Promise<Accepted> {
    await this.changes.until(
      () => `connection ${index} at the service, ${this.accepted.length} came`,
      () => this.accepted.length > index,
      ms,
    );
    const accepted = this.accepted[index];
    if (accepted === undefined) throw new Error("no such connection");
    return accepted;
  }

  /** Stops listening; the connections there are stay. */
  stop(): void {
    this.#server.close();
  }

  /** Breaks every connection off. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.#server.listening ? once(this.#server, "close") : undefined;
    this.#server.close();
    this.cut();
    await closed;
  }
}

/** A relay, an agent with a TCP tunnel named `db`, and the service behind it, all in this process. */
export class TcpWorld implements AsyncDisposable {
  readonly relay: Relay;
  readonly agent: Listener;
  readonly service: TcpService;
  readonly folder: string;
  readonly #sockets: Socket[] = [];

  private constructor(o: { relay: Relay; agent: Listener; service: TcpService; folder: string }) {
    this.relay = o.relay;
    this.agent = o.agent;
    this.service = o.service;
    this.folder = o.folder;
  }

  static async start(
    o: { relay?: RelayOptions; agent?: Partial<ForwardOptions>; relayPort?: number } = {},
  ): Promise<TcpWorld> {
    const folder = mkdtempSync(join(tmpdir(), "ggrok-tcp-"));
    process.env["XDG_STATE_HOME"] = join(folder, "state");
    process.env["XDG_CONFIG_HOME"] = join(folder, "config");
    const service = await TcpService.start();
    const relay = await createRelay({ bind: "127.0.0.1", domain: "localhost", tcpPorts: PORTS, ...o.relay });
    const agent = await forward({
      addr: service.port,
      proto: "tcp",
      relay: `http://localhost:${relay.port}`,
      url: "db",
      folder,
      ...o.agent,
    });
    return new TcpWorld({ relay, agent, service, folder });
  }

  /** The raw public port of the tunnel. */
  get port(): number {
    const url = this.agent.urls().find((text) => /:\d+$/.test(text));
    if (url === undefined) throw new Error(`no public port among ${this.agent.urls().join(", ")}`);
    return Number(url.slice(url.lastIndexOf(":") + 1));
  }

  /** A visitor at the public port, or at another one. */
  async visit(port: number = this.port): Promise<Visitor> {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    this.#sockets.push(socket);
    const visitor = new Visitor(socket);
    const settled = new Promise((resolve) => socket.once("connect", resolve).once("close", resolve));
    await within("a connection", settled);
    return visitor;
  }

  /** A visitor at the relay's one port who says this head. */
  async say(head: string, behind: Buffer | string = ""): Promise<Visitor> {
    const visitor = await this.visit(this.relay.port);
    visitor.socket.write(Buffer.concat([Buffer.from(head, "latin1"), Buffer.from(behind)]));
    return visitor;
  }

  /** The same with CONNECT to the tunnel. */
  connect(...fields: string[]): Promise<Visitor> {
    return this.say(
      `${["CONNECT db.localhost:5432 HTTP/1.1", "Host: db.localhost:5432", ...fields].join("\r\n")}\r\n\r\n`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    // A connection that is half closed is open: its app decides, and nobody waits for that here.
    this.service.cut();
    await this.agent.close();
    await this.relay.close(500);
    await this.service[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A range of its own for each process of tests, so that they do not take each other's ports. */
const FIRST_PORT = 21_000 + (process.pid % 380) * 100;
const PORTS = `${FIRST_PORT}-${FIRST_PORT + 99}`;

/** A visitor's connection. */
export class Visitor {
  readonly socket: Socket;
  readonly reader: ByteReader;

  constructor(socket: Socket) {
    this.socket = socket;
    this.reader = new ByteReader(socket);
  }

  send(data: string | Buffer): void {
    this.socket.write(data);
  }

  finish(): void {
    this.socket.end();
  }

  reset(): void {
    this.socket.resetAndDestroy();
  }

  ended(): Promise<End> {
    return this.reader.ended();
  }

  async text(bytes: number): Promise<string> {
    return (await this.reader.take(bytes)).toString("latin1");
  }

  /** Status and `ggrok-error` of an answer's head. */
  async answer(): Promise<{ status: number; code: string | undefined }> {
    const head = await this.reader.head();
    const status = Number(head?.startLine.split(" ")[1]);
    return { status, code: head?.fields.find(([name]) => name.toLowerCase() === "ggrok-error")?.[1] };
  }
}

/** A front end in front of a relay that answers every CONNECT itself, as Heroku's router does. */
export async function startRouter(
  relayPort: number,
): Promise<AsyncDisposable & { port: number; connects: number; passed: number }> {
  const state = { connects: 0, passed: 0 };
  const server = createServer((socket) => {
    socket.once("data", (first: Buffer) => {
      if (first.toString("latin1", 0, 8) === "CONNECT ") {
        state.connects += 1;
        socket.end("HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n");
        return;
      }
      state.passed += 1;
      const upstream = connect({ port: relayPort, host: "127.0.0.1" });
      upstream.write(first);
      upstream.on("error", () => socket.destroy()).pipe(socket);
      socket.on("error", () => upstream.destroy()).pipe(upstream);
    });
    socket.on("error", () => {});
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    get connects() {
      return state.connects;
    },
    get passed() {
      return state.passed;
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      await closed;
    },
  };
}

const CHUNK = Buffer.alloc(65_536);

/**
 * Writes until nothing has been taken for a while: the kernel's buffers, the queues and the windows are full. Returns how many
 * bytes that took; more than `most` is an error.
 */
export async function writeUntilFull(socket: Writable, most: number = 1_073_741_824): Promise<number> {
  for (let bytes = CHUNK.length; bytes <= most; bytes += CHUNK.length) {
    if (socket.write(CHUNK)) continue;
    const drained = once(socket, "drain", { signal: AbortSignal.timeout(1_000) });
    const isFull = await drained.then(
      () => false,
      () => true,
    );
    if (isFull) return bytes;
  }
  throw new Error(`more than ${most} bytes were taken`);
}
