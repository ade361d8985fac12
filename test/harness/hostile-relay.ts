import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import {
  type ControlMessage,
  decodeControl,
  decodeMessage,
  encodeControlMessage,
  encodeOpenPayload,
  FLAG_FIN,
  FRAME_HEADER_BYTES,
  FrameType,
  type Hello,
  putFrameHeader,
  type Welcome,
} from "@ggrok/protocol";
import { type WebSocket, WebSocketServer } from "ws";
import { Changes } from "./deadline.ts";

/** A frame as bytes. */
export function frameOf(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  putFrameHeader(header, 0, type as FrameType, flags, stream, payload.length);
  return Buffer.concat([header, payload]);
}

/** One agent's connection as a relay sees it that does what no relay should. */
export class HostileLink {
  readonly ws: WebSocket;
  readonly socket: Duplex;
  readonly changes = new Changes();
  readonly controls: ControlMessage[] = [];
  readonly frames: { type: number; stream: number }[] = [];
  isClosed = false;
  #nextId = 2;

  constructor(ws: WebSocket, socket: Duplex) {
    this.ws = ws;
    this.socket = socket;
    ws.on("error", () => {});
    ws.on("close", () => {
      this.isClosed = true;
      this.changes.notify();
    });
    ws.on("message", (data) => {
      decodeMessage(data as Buffer, (type, _flags, stream, payload) => {
        if (type !== FrameType.Control) this.frames.push({ type, stream });
        else {
          const control = decodeControl(payload);
          if (control !== undefined) this.controls.push(control);
        }
      });
      this.changes.notify();
    });
  }

  async hello(): Promise<Hello> {
    await this.changes.until("hello", () => this.controls.some(({ type }) => type === "hello") || this.isClosed);
    const hello = this.controls.find((control) => control.type === "hello");
    if (hello === undefined) throw new Error("the agent closed without hello");
    return hello;
  }

  /** Greets as a good relay would and gives the agent its name. */
  async welcome(o: Partial<Welcome> = {}): Promise<void> {
    await this.hello();
    this.control({
      type: "welcome",
      session: `hostile-${Math.random()}`,
      secret: "s".repeat(43),
      relayId: "hostile",
      version: "9.9.9",
      capabilities: [],
      window: 65_536,
      maxStreams: 0,
      heartbeat: { intervalMs: 60_000, timeoutMs: 120_000 },
      holdMs: 30_000,
      resumed: false,
      received: 0,
      slots: 1,
      domain: "localhost",
      ...o,
    });
    await this.changes.until("bind", () => this.controls.some(({ type }) => type === "bind") || this.isClosed);
    this.control({ type: "bound", bind: 1, url: "http://hostile.localhost", claim: Date.now() });
  }

  control(message: ControlMessage): void {
    this.ws.send(encodeControlMessage(message));
  }

  send(message: Buffer): void {
    if (!this.isClosed) this.ws.send(message);
  }

  /** Opens a request at the agent. */
  open(path: string, o: { credit?: number; fin?: boolean; method?: string } = {}): number {
    const id = this.#nextId;
    this.#nextId += 2;
    this.send(frameOf(FrameType.Open, o.fin === false ? 0 : FLAG_FIN, id, openPayload(path, o.credit, o.method)));
    return id;
  }

  closed(ms?: number): Promise<void> {
    return this.changes.until("the agent to close the connection", () => this.isClosed, ms);
  }
}

/** Payload of an OPEN that asks for a path. */
export function openPayload(path: string, credit = 262_144, method = "GET"): Buffer {
  return encodeOpenPayload(credit, {
    kind: "http",
    bind: 1,
    requestId: "hostile-request",
    method,
    target: path,
    version: "1.1",
    fields: ["Host", "hostile.localhost"],
  });
}

/** A relay that is told what to do with each agent. */
export class HostileRelay implements AsyncDisposable {
  readonly links: HostileLink[] = [];
  readonly changes = new Changes();
  /** Takes the place of the upgrade. */
  onUpgrade: ((request: IncomingMessage, socket: Duplex) => void) | undefined;
  readonly #server: Server;
  readonly #sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    handleProtocols: () => "ggrok.v1",
  });
  readonly #open = new Set<Duplex>();

  private constructor(server: Server) {
    this.#server = server;
    server.on("upgrade", (request, socket, head) => {
      this.#open.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.#open.delete(socket));
      if (this.onUpgrade !== undefined) {
        this.onUpgrade(request, socket);
        return;
      }
      this.#sockets.handleUpgrade(request, socket, head, (ws) => {
        this.links.push(new HostileLink(ws, socket));
        this.changes.notify();
      });
    });
  }

  static async start(): Promise<HostileRelay> {
    const server = createServer((_request, response) => response.writeHead(404).end());
    const relay = new HostileRelay(server);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return relay;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The connection number `index`. Agents come back by themselves. */
  async link(index: number, ms = 20_000): Promise<HostileLink> {
    await this.changes.until(`connection ${index}`, () => this.links.length > index, ms);
    const link = this.links[index];
    if (link === undefined) throw new Error("unreachable");
    return link;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    for (const socket of this.#open) socket.destroy();
    await closed;
  }
}
