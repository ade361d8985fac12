import type { HttpOpenHead, ResponseHead } from "../message/exchange.ts";
import { createMemoryLink, type MemoryTransport } from "../transport/memory.ts";
import type { MuxStream, StreamHandler, StreamReset } from "./mux-stream.ts";
import { Session, type SessionHandler, type SessionOptions } from "./session.ts";

/** Two sessions joined in memory: the relay opens streams, the agent answers them. For tests. */
export interface SessionPair {
  relay: Session;
  agent: Session;
  relayEnd: MemoryTransport;
  agentEnd: MemoryTransport;
  /** Joins both by a new link, as a resume does. */
  reconnect(): void;
}

/** How the pair differs from the usual one. */
export interface PairOptions {
  onStream?: SessionHandler["onStream"];
  onControl?: SessionHandler["onControl"];
  onRelayState?: SessionHandler["onState"];
  onRelayClosed?: SessionHandler["onClosed"];
  onAgentClosed?: SessionHandler["onClosed"];
  relay?: Partial<SessionOptions>;
  agent?: Partial<SessionOptions>;
}

/** A silent handler with the given parts. */
export function sessionHandler(parts: Partial<SessionHandler> = {}): SessionHandler {
  return { onStream() {}, onControl() {}, onState() {}, onClosed() {}, ...parts };
}

/** Options of a session with the given parts. */
export function sessionOptions(side: "dialler" | "listener", parts: Partial<SessionOptions> = {}): SessionOptions {
  return {
    side,
    id: "s1",
    resumable: true,
    localWindow: 65_536,
    peerWindow: 65_536,
    peerMaxStreams: side === "listener" ? 16_384 : 0,
    localMaxStreams: side === "listener" ? 0 : 16_384,
    heartbeat: { intervalMs: 5_000, timeoutMs: 12_500 },
    handler: sessionHandler(),
    ...parts,
  };
}

/** Makes and joins the pair. */
export function createPair(o: PairOptions = {}): SessionPair {
  const relay = new Session(
    sessionOptions("listener", {
      handler: sessionHandler({
        ...(o.onRelayState !== undefined && { onState: o.onRelayState }),
        ...(o.onRelayClosed !== undefined && { onClosed: o.onRelayClosed }),
      }),
      ...o.relay,
    }),
  );
  const agent = new Session(
    sessionOptions("dialler", {
      handler: sessionHandler({
        ...(o.onStream !== undefined && { onStream: o.onStream }),
        ...(o.onControl !== undefined && { onControl: o.onControl }),
        ...(o.onAgentClosed !== undefined && { onClosed: o.onAgentClosed }),
      }),
      ...o.agent,
    }),
  );
  const [relayEnd, agentEnd] = createMemoryLink();
  relay.attach(relayEnd);
  agent.attach(agentEnd);
  const pair: SessionPair = {
    relay,
    agent,
    relayEnd,
    agentEnd,
    reconnect() {
      const relayReceived = relay.detach();
      const agentReceived = agent.detach();
      const [nextRelayEnd, nextAgentEnd] = createMemoryLink();
      pair.relayEnd = nextRelayEnd;
      pair.agentEnd = nextAgentEnd;
      relay.attach(nextRelayEnd, { peerReceived: agentReceived });
      agent.attach(nextAgentEnd, { peerReceived: relayReceived });
    },
  };
  return pair;
}

/** A request head for tests. */
export function requestHead(target = "/", method = "GET"): HttpOpenHead {
  return { kind: "http", bind: 1, requestId: "r1", method, target, version: "1.1", fields: ["Host", "app.test"] };
}

/** A 200 head for tests. */
export const OK: ResponseHead = { status: 200, reason: "OK", fields: ["Content-Type", "text/plain"] };

/** Gathers what a stream's owner hears. */
export class Collector implements StreamHandler {
  readonly heads: ResponseHead[] = [];
  readonly chunks: Buffer[] = [];
  readonly resets: StreamReset[] = [];
  trailers: readonly string[] | undefined;
  flushes = 0;
  stops = 0;
  isEnded = false;
  bytes = 0;
  /** Answers `false` to the next chunks. */
  isFull = false;
  onDrained: (() => void) | undefined;
  #waiting: { test: () => boolean; resolve: () => void }[] = [];

  get body(): Buffer {
    return Buffer.concat(this.chunks);
  }

  /** Resolves when the test holds; checked after every event. */
  until(test: () => boolean): Promise<void> {
    if (test()) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.push({ test, resolve });
    });
  }

  onHead(head: ResponseHead, fin: boolean): void {
    this.heads.push(head);
    if (fin) this.isEnded = true;
    this.#check();
  }
  onFlush(): void {
    this.flushes += 1;
  }
  onData(chunk: Buffer, fin: boolean): boolean {
    this.chunks.push(Buffer.from(chunk));
    this.bytes += chunk.length;
    if (fin) this.isEnded = true;
    this.#check();
    return !this.isFull;
  }
  onTrailers(fields: readonly string[]): void {
    this.trailers = fields;
    this.isEnded = true;
    this.#check();
  }
  onReset(reset: StreamReset): void {
    this.resets.push(reset);
    this.#check();
  }
  onStopSending(): void {
    this.stops += 1;
    this.#check();
  }
  onDrain(): void {
    this.onDrained?.();
  }
  #check(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const item of waiting) {
      if (item.test()) item.resolve();
      else this.#waiting.push(item);
    }
  }
}

/** Writes a body with backpressure: `total` bytes in chunks of `chunkBytes`, then FIN. Byte i is i mod 251. */
export function pour(stream: MuxStream, handler: Collector, total: number, chunkBytes: number): void {
  let sent = 0;
  const go = (): void => {
    while (sent < total) {
      const n = Math.min(chunkBytes, total - sent);
      const chunk = Buffer.allocUnsafe(n);
      for (let i = 0; i < n; i += 1) chunk[i] = (sent + i) % 251;
      sent += n;
      if (!stream.write(chunk)) return;
    }
    handler.onDrained = undefined;
    stream.end();
  };
  handler.onDrained = go;
  go();
}

/** Whether a body is what {@link pour} sends. */
export function isPoured(body: Buffer, total: number): boolean {
  if (body.length !== total) return false;
  for (let i = 0; i < total; i += 1) if (body[i] !== i % 251) return false;
  return true;
}

/** Lets the event loop turn until the test holds; fails after so many turns. */
export async function turns(test: () => boolean, max = 20_000): Promise<void> {
  for (let i = 0; i < max; i += 1) {
    if (test()) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  throw new Error(`still not so after ${max} turns`);
}
