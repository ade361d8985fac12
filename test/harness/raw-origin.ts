import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { ByteReader, type RawBody, type RawHead } from "./byte-reader.ts";
import { Changes } from "./deadline.ts";

/** One request as it arrived at the app. */
export interface OriginRequest extends RawHead, RawBody {
  readonly method: string;
  readonly target: string;
  readonly version: string;
}

/** One connection of the agent to the app. */
export class OriginConnection {
  readonly socket: Socket;
  readonly reader: ByteReader;

  constructor(socket: Socket) {
    this.socket = socket;
    this.reader = new ByteReader(socket);
  }

  /** Text is sent as latin1. */
  write(data: string | Buffer): void {
    if (this.socket.writable) this.socket.write(typeof data === "string" ? Buffer.from(data, "latin1") : data);
  }

  end(data: string = ""): void {
    this.socket.end(Buffer.from(data, "latin1"));
  }

  reset(): void {
    this.socket.resetAndDestroy();
  }
}

/** What the app does with a request of which only the head has been read. */
export type Script = (connection: OriginConnection, head: RawHead) => void | Promise<void>;

/** An app made of bytes: it records exactly what it gets, and answers exactly what it is told to. */
export class RawOrigin implements AsyncDisposable {
  readonly requests: OriginRequest[] = [];
  readonly connections: OriginConnection[] = [];
  readonly changes = new Changes();
  /** Takes the place of the ordinary answer; the body is the script's to read. */
  script: Script | undefined;
  /** The ordinary answer. */
  answer: string | ((request: OriginRequest) => string) = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    server.on("connection", (socket) => {
      const connection = new OriginConnection(socket);
      this.connections.push(connection);
      void this.#serve(connection);
    });
  }

  static async start(): Promise<RawOrigin> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    const origin = new RawOrigin(server);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return origin;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The request number `index`, once it is whole. */
  async request(index: number): Promise<OriginRequest> {
    await this.changes.until(`request ${index}`, () => this.requests.length > index);
    const request = this.requests[index];
    if (request === undefined) throw new Error("unreachable");
    return request;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const { socket } of this.connections) socket.destroy();
    await closed;
  }

  async #serve(connection: OriginConnection): Promise<void> {
    try {
      for (;;) {
        const head = await connection.reader.head(600_000);
        if (head === undefined) {
          connection.end();
          return;
        }
        if (this.script !== undefined) {
          await this.script(connection, head);
          continue;
        }
        const body = await connection.reader.body(head, "request", 60_000);
        const request = describe(head, body);
        this.requests.push(request);
        this.changes.notify();
        connection.write(typeof this.answer === "string" ? this.answer : this.answer(request));
      }
    } catch (error) {
      connection.socket.destroy(error instanceof Error ? error : undefined);
    }
  }
}

function describe(head: RawHead, body: RawBody): OriginRequest {
  const [method = "", target = "", version = ""] = head.startLine.split(" ");
  return { ...head, ...body, method, target, version };
}
