import type { Socket } from "node:net";
import {
  corkTurn,
  type ErrorCode,
  errorCodeOfReset,
  LIMITS,
  type MuxStream,
  type OpenMeta,
  ResetCode,
  type ResponseHead,
  type StreamHandler,
  type StreamReset,
} from "@ggrok/protocol";
import { RELAY_LIMITS } from "../limits.ts";
import { openTcp } from "../registry/open-tcp.ts";
import type { TcpRoute } from "../registry/tcp-route.ts";
import type { IngressContext } from "./context.ts";
import { ResetProbe } from "./reset-probe.ts";
import { breakConnection, closeGently, ignore } from "./sockets.ts";

/** One visitor of a TCP tunnel. */
export interface TcpVisit {
  readonly socket: Socket;
  readonly route: TcpRoute;
  readonly requestId: string;
  /** How the visitor came, for the access log. */
  readonly method: "CONNECT" | "TCP";
  readonly host: string;
  readonly client: string;
  readonly meta: OpenMeta;
  /** What came behind the head of a CONNECT. */
  readonly early: Buffer;
  /** The head to send once the app has taken the connection. */
  readonly accepted: Buffer | undefined;
  /** The answer that says why there is no connection; without one the connection breaks. */
  refused(code: ErrorCode): Buffer | undefined;
}

/**
 * A visitor's connection joined to a stream: bytes both ways at once, half-close, reset, and no clock. What the visitor sends
 * before the app has answered goes on its way already; the stream's window bounds it.
 */
export class TcpExchange implements StreamHandler {
  readonly #context: IngressContext;
  readonly #visit: TcpVisit;
  readonly #startedAt = performance.now();
  readonly #abort = new AbortController();
  /** Kept until there is a stream. */
  #early: Buffer[] = [];
  #earlyBytes = 0;
  #stream: MuxStream | undefined;
  #attempts = 0;
  #isConnected = false;
  #hasVisitorEnded = false;
  #hasAppEnded = false;
  #isOver = false;
  #status = 0;
  #code: ErrorCode | undefined;
  #bytesIn = 0;
  #bytesOut = 0;

  constructor(context: IngressContext, visit: TcpVisit) {
    this.#context = context;
    this.#visit = visit;
  }

  /** Sends it on its way. Called once. */
  start(): void {
    const { socket, early } = this.#visit;
    socket.setTimeout(0);
    socket.setNoDelay(true);
    socket.on("error", ignore);
    socket.on("close", () => this.#onClose());
    new ResetProbe(socket, this.#context.stalls);
    socket.on("data", (chunk: Buffer) => this.#onVisitorData(chunk));
    socket.on("end", () => {
      this.#hasVisitorEnded = true;
      this.#stream?.end();
    });
    socket.on("drain", () => this.#stream?.resume());
    if (early.length > 0) this.#onVisitorData(early);
    this.#open();
  }

  /** The token it came with is no good any more. */
  revoke(): void {
    this.#stream?.reset(ResetCode.VisitorLeft);
    this.#fail("ERR_GGROK_TOKEN_REFUSED");
  }

  // ---- the stream

  onHead(head: ResponseHead, fin: boolean): void {
    if (head.status !== 200) {
      this.#stream?.reset(ResetCode.Protocol);
      this.#fail("ERR_GGROK_UPSTREAM_MALFORMED");
      return;
    }
    this.#isConnected = true;
    this.#status = 200;
    const { socket, accepted } = this.#visit;
    if (accepted !== undefined) socket.write(accepted);
    if (fin) this.#endVisitor();
  }

  onData(chunk: Buffer, fin: boolean): boolean {
    const { socket } = this.#visit;
    this.#bytesOut += chunk.length;
    if (chunk.length >= LIMITS.DATA_UNCOPIED_BYTES) corkTurn(socket);
    const hasRoom = chunk.length === 0 || socket.write(chunk);
    if (fin) this.#endVisitor();
    return hasRoom || fin;
  }

  onTrailers(): void {
    this.#endVisitor();
  }

  onDrain(): void {
    this.#visit.socket.resume();
  }

  onReset(reset: StreamReset): void {
    this.#stream = undefined;
    if (this.#isOver) return;
    const isUntouched = reset.notProcessed && this.#bytesIn === 0 && !this.#hasVisitorEnded;
    if (!this.#isConnected && isUntouched && this.#attempts < RELAY_LIMITS.maxAttempts) this.#open();
    else this.#fail(errorCodeOfReset(reset.code));
  }

  // ---- inside

  #open(): void {
    const { route, requestId, meta } = this.#visit;
    const head = { kind: "tcp", requestId, meta } as const;
    const tryOpen = (): MuxStream | undefined => {
      const stream = route.open(head, this);
      if (stream !== undefined) this.#onOpened(stream);
      return stream;
    };
    const { parkMs, isDraining } = this.#context;
    const wait = { tryOpen, heldBytes: this.#earlyBytes, parkMs, isDraining, signal: this.#abort.signal };
    void openTcp(route, wait).then((code) => {
      if (code !== undefined) this.#fail(code);
    });
  }

  #onOpened(stream: MuxStream): void {
    this.#stream = stream;
    this.#attempts += 1;
    const early = this.#early;
    this.#early = [];
    this.#visit.socket.resume();
    for (const chunk of early) this.#send(stream, chunk);
    if (this.#hasVisitorEnded) stream.end();
  }

  #onVisitorData(chunk: Buffer): void {
    if (this.#isOver) return;
    if (this.#stream !== undefined) {
      this.#send(this.#stream, chunk);
      return;
    }
    this.#early.push(chunk);
    this.#earlyBytes += chunk.length;
    if (this.#earlyBytes >= RELAY_LIMITS.earlyBytes) this.#visit.socket.pause();
  }

  #send(stream: MuxStream, chunk: Buffer): void {
    this.#bytesIn += chunk.length;
    if (!stream.write(chunk)) this.#visit.socket.pause();
  }

  #endVisitor(): void {
    this.#hasAppEnded = true;
    this.#visit.socket.end();
  }

  /** No connection, or none any more: the visitor hears why where that can be said, else sees a reset. */
  #fail(code: ErrorCode): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#code = code;
    const { socket } = this.#visit;
    const answer = this.#isConnected ? undefined : this.#visit.refused(code);
    if (answer === undefined) {
      breakConnection(socket);
      return;
    }
    this.#status = Number(answer.toString("latin1", 9, 12));
    closeGently(socket, answer);
  }

  #onClose(): void {
    this.#isOver = true;
    this.#abort.abort();
    // With both ends heard the stream carries what is left to the app by itself.
    if (!this.#hasVisitorEnded || !this.#hasAppEnded) this.#stream?.reset(ResetCode.VisitorLeft);
    const { requestId, host, method, client, route } = this.#visit;
    this.#context.onEnd({
      id: requestId,
      host,
      method,
      path: "",
      status: this.#status,
      ...(this.#code !== undefined && { code: this.#code }),
      durationMs: performance.now() - this.#startedAt,
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
      client,
      tunnel: route.url,
    });
  }
}
