import {
  type ErrorCode,
  errorCodeOfReset,
  type MuxStream,
  type OpenMeta,
  ResetCode,
  type StreamHandler,
  type StreamReset,
} from "@ggrok/protocol";
import { RELAY_LIMITS } from "../limits.ts";
import { openTcp } from "../registry/open-tcp.ts";
import type { TcpRoute } from "../registry/tcp-route.ts";

/** What became of one connection of a connector. */
export interface SpliceResult {
  readonly isConnected: boolean;
  readonly code: ErrorCode | undefined;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** One connection of a connector, on its way to a tunnel. */
export interface SpliceOptions {
  /** The stream that the connector opened. */
  readonly stream: MuxStream;
  /** Its direction has ended with OPEN. */
  readonly hasEnded: boolean;
  readonly route: TcpRoute;
  readonly requestId: string;
  readonly meta: OpenMeta;
  readonly parkMs: number;
  readonly isDraining: boolean;
  readonly onEnd: (result: SpliceResult) => void;
}

/** RESET codes for what keeps a connection from being opened. */
const RESET_OF_CODE: Partial<Record<ErrorCode, ResetCode>> = {
  ERR_GGROK_ENDPOINT_OFFLINE: ResetCode.Offline,
  ERR_GGROK_RELAY_OVERLOADED: ResetCode.Overload,
  ERR_GGROK_RELAY_DRAINING: ResetCode.Draining,
  ERR_GGROK_VISITOR_FORBIDDEN: ResetCode.Forbidden,
};

/**
 * Joins a connector's stream to one of the agent's session. Each grants on one side what the other took, so that a reader
 * that stands still holds its window in the relay and no more.
 */
export class StreamSplice {
  readonly #o: SpliceOptions;
  readonly #abort = new AbortController();
  #upstream: MuxStream | undefined;
  /** The one chunk that came before there was a stream to the agent; behind it the connector's stream waits. */
  #early: Buffer | undefined;
  #hasEnded: boolean;
  #hasAnswerEnded = false;
  #attempts = 0;
  #isConnected = false;
  #isOver = false;

  constructor(options: SpliceOptions) {
    this.#o = options;
    this.#hasEnded = options.hasEnded;
    options.stream.handler = this.#visitorSide();
  }

  /** Opens towards the agent, waiting for it where it is away. */
  start(): void {
    const { route, requestId, meta, parkMs, isDraining } = this.#o;
    const tryOpen = (): MuxStream | undefined => {
      const upstream = route.open({ kind: "tcp", requestId, meta }, this.#agentSide());
      if (upstream !== undefined) this.#onOpened(upstream);
      return upstream;
    };
    const heldBytes = this.#early?.length ?? 0;
    void openTcp(route, { tryOpen, heldBytes, parkMs, isDraining, signal: this.#abort.signal }).then((code) => {
      if (code !== undefined) this.#fail(RESET_OF_CODE[code] ?? ResetCode.Internal, code, "");
    });
  }

  #onOpened(upstream: MuxStream): void {
    this.#upstream = upstream;
    this.#attempts += 1;
    const early = this.#early;
    this.#early = undefined;
    const hasRoom = early === undefined || upstream.write(early);
    if (this.#hasEnded) upstream.end();
    if (hasRoom || this.#hasEnded) this.#o.stream.resume();
  }

  #visitorSide(): StreamHandler {
    return {
      onData: (chunk, fin) => {
        if (fin) this.#hasEnded = true;
        const upstream = this.#upstream;
        if (upstream === undefined) {
          if (chunk.length > 0) this.#early = chunk;
          return false;
        }
        const hasRoom = chunk.length === 0 || upstream.write(chunk);
        if (fin) upstream.end();
        this.#settleIfDone();
        return hasRoom || fin;
      },
      onTrailers: () => {
        this.#hasEnded = true;
        this.#upstream?.end();
        this.#settleIfDone();
      },
      onReset: (reset) => {
        this.#upstream?.reset(ResetCode.VisitorLeft);
        this.#settle(errorCodeOfReset(reset.code));
      },
      onDrain: () => this.#upstream?.resume(),
    };
  }

  #agentSide(): StreamHandler {
    const { stream } = this.#o;
    return {
      onHead: (head, fin) => {
        if (head.status !== 200) {
          this.#upstream?.reset(ResetCode.Protocol);
          this.#fail(ResetCode.UpstreamMalformed, "ERR_GGROK_UPSTREAM_MALFORMED", "");
          return;
        }
        this.#isConnected = true;
        stream.sendHead({ status: 200, reason: "", fields: [] });
        if (fin) this.#endAnswer();
      },
      onData: (chunk, fin) => {
        const hasRoom = chunk.length === 0 || stream.write(chunk);
        if (fin) this.#endAnswer();
        return hasRoom || fin;
      },
      onTrailers: () => this.#endAnswer(),
      onReset: (reset) => this.#onAgentReset(reset),
      onDrain: () => stream.resume(),
    };
  }

  #onAgentReset(reset: StreamReset): void {
    this.#upstream = undefined;
    if (this.#isOver) return;
    const isUntouched = reset.notProcessed && this.#o.stream.bytesIn === 0 && !this.#hasEnded;
    if (!this.#isConnected && isUntouched && this.#attempts < RELAY_LIMITS.maxAttempts) this.start();
    else this.#fail(reset.code, errorCodeOfReset(reset.code), reset.message);
  }

  #endAnswer(): void {
    this.#hasAnswerEnded = true;
    this.#o.stream.end();
    this.#settleIfDone();
  }

  #fail(reset: ResetCode, code: ErrorCode, message: string): void {
    if (this.#isOver) return;
    this.#o.stream.reset(reset, { message });
    this.#settle(code);
  }

  #settleIfDone(): void {
    if (this.#hasEnded && this.#hasAnswerEnded) this.#settle(undefined);
  }

  #settle(code: ErrorCode | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#abort.abort();
    const { bytesIn, bytesOut } = this.#o.stream;
    this.#o.onEnd({ isConnected: this.#isConnected, code, bytesIn, bytesOut });
  }
}
