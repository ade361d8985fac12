import { once } from "node:events";
import { type IncomingHttpHeaders, request } from "node:http";
import {
  type ControlMessage,
  decodeControl,
  decodeMessage,
  decodeOpenPayload,
  encodeControl,
  encodeControlMessage,
  FRAME_HEADER_BYTES,
  FrameType,
  type Hello,
  type OpenHead,
  putFrameHeader,
} from "@ggrok/protocol";
import { WebSocket } from "ws";

const DEADLINE_MS = 10_000;

export type Message<T extends ControlMessage["type"]> = Extract<ControlMessage, { type: T }>;

/** One frame as it came. */
export interface RawFrame {
  type: number;
  flags: number;
  stream: number;
  payload: Buffer;
}

export const HELLO: Hello = {
  type: "hello",
  role: "agent",
  software: "raw/0",
  agentId: "raw-agent",
  instance: "raw-instance",
  attempt: 1,
  slot: 0,
  capabilities: ["resume"],
  window: 65_536,
  maxStreams: 100,
};

/** An agent that speaks frames by hand: it can do what the real one never would. */
export class RawAgent {
  readonly ws: WebSocket;
  readonly frames: RawFrame[] = [];
  /** Messages received after welcome, as `hello.resume.received` counts them. */
  received = 0;
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly #controls: ControlMessage[] = [];
  #wake: (() => void) | undefined;

  private constructor(ws: WebSocket) {
    this.ws = ws;
    ws.on("error", () => {});
    ws.on("message", (data) => this.#onMessage(data as Buffer));
    this.closed = new Promise((resolve) => {
      ws.on("close", (code, reason) => {
        resolve({ code, reason: reason.toString() });
        this.#wake?.();
      });
    });
  }

  /** Connects and stays silent. */
  static async dial(url: string, o: { token?: string; headers?: Record<string, string> } = {}): Promise<RawAgent> {
    const authorization = o.token === undefined ? {} : { authorization: `Bearer ${o.token}` };
    const target = `${url.replace(/^http/u, "ws")}/$$ggrok`;
    const ws = new WebSocket(target, ["ggrok.v1"], {
      perMessageDeflate: false,
      headers: { ...authorization, ...o.headers },
    });
    const agent = new RawAgent(ws);
    await once(ws, "open", { signal: AbortSignal.timeout(DEADLINE_MS) });
    return agent;
  }

  /** Connects, says hello and waits for the welcome. */
  static async online(
    url: string,
    hello: Partial<Hello> = {},
    o: { token?: string } = {},
  ): Promise<[RawAgent, Message<"welcome">]> {
    const agent = await RawAgent.dial(url, o);
    agent.ws.send(encodeControlMessage({ ...HELLO, ...hello }));
    return [agent, await agent.next("welcome")];
  }

  /** Sends a CONTROL frame. */
  control(message: ControlMessage | Record<string, unknown>): void {
    this.frame(
      FrameType.Control,
      0,
      0,
      isKnown(message) ? encodeControl(message) : Buffer.from(JSON.stringify(message)),
    );
  }

  frame(type: FrameType, flags: number, stream: number, payload: Buffer): void {
    const header = Buffer.alloc(FRAME_HEADER_BYTES);
    putFrameHeader(header, 0, type, flags, stream, payload.length);
    this.ws.send(Buffer.concat([header, payload]));
  }

  /** Binds and waits for the answer. */
  async bind(o: Partial<Message<"bind">> = {}): Promise<Message<"bound"> | Message<"bind-refused">> {
    this.control({ type: "bind", bind: 1, kind: "http", ageMs: 0, ...o });
    return this.next("bound", "bind-refused");
  }

  /** The next control message of one of these types. */
  async next<T extends ControlMessage["type"]>(...types: T[]): Promise<Message<T>> {
    const isWanted = (message: ControlMessage): message is Message<T> => (types as string[]).includes(message.type);
    return this.#wait(`a message ${types.join(" or ")}`, () => {
      const index = this.#controls.findIndex(isWanted);
      const message = this.#controls[index];
      if (message === undefined || !isWanted(message)) return undefined;
      this.#controls.splice(index, 1);
      return message;
    });
  }

  /** The next stream the relay opens. */
  async opened(): Promise<{ id: number; head: OpenHead }> {
    const frame = await this.#wait("a stream", () => {
      const index = this.frames.findIndex(({ type }) => type === FrameType.Open);
      return index < 0 ? undefined : this.frames.splice(index, 1)[0];
    });
    return { id: frame.stream, head: decodeOpenPayload(frame.payload).head };
  }

  terminate(): void {
    this.ws.terminate();
  }

  #onMessage(message: Buffer): void {
    decodeMessage(message, (type, flags, stream, payload) => {
      if (type !== FrameType.Control) {
        this.frames.push({ type, flags, stream, payload: Buffer.from(payload) });
        return;
      }
      const control = decodeControl(payload);
      if (control === undefined) return;
      if (control.type === "welcome" || control.type === "refused") this.received = -1;
      this.#controls.push(control);
    });
    this.received += 1;
    this.#wake?.();
  }

  async #wait<T>(what: string, look: () => T | undefined): Promise<T> {
    const signal = AbortSignal.timeout(DEADLINE_MS);
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      if (this.ws.readyState === WebSocket.CLOSED) throw new Error(`closed while waiting for ${what}`);
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const onAbort = (): void => reject(new Error(`${what} did not come`));
      signal.addEventListener("abort", onAbort, { once: true });
      await promise.finally(() => signal.removeEventListener("abort", onAbort));
    }
  }
}

function isKnown(message: ControlMessage | Record<string, unknown>): message is ControlMessage {
  return Object.keys(message).every((key) => !key.startsWith("x-")) && KNOWN.has(String(message["type"]));
}
const KNOWN: ReadonlySet<string> = new Set(["hello", "bind", "unbind", "drain"]);

/** An upgrade by hand: what came back, whether 101 or a refusal. */
export function tryUpgrade(
  url: string,
  headers: Record<string, string | string[]> = {},
  path = "/$$ggrok",
): Promise<{ status: number; headers: IncomingHttpHeaders; body: string }> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const req = request({
      host: hostname,
      port,
      path,
      agent: false,
      signal: AbortSignal.timeout(DEADLINE_MS),
      headers: {
        connection: "upgrade",
        upgrade: "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-protocol": "ggrok.v1",
        ...headers,
      },
    });
    req.on("error", reject);
    req.on("upgrade", (res, socket) => {
      socket.destroy();
      resolve({ status: res.statusCode ?? 0, headers: res.headers, body: "" });
    });
    req.on("response", (res) => {
      res.setEncoding("utf8");
      let body = "";
      res.on("data", (chunk: string) => {
        body += chunk;
      });
      res.on("end", () => resolve({ status: res.statusCode ?? 0, headers: res.headers, body }));
    });
    req.end();
  });
}
