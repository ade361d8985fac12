import { randomBytes } from "node:crypto";
import { GgrokError, type Hello, LIMITS, Session, type Transport, type Welcome } from "@ggrok/protocol";
import { type DialOptions, dial } from "../agent/dial.ts";
import { greet } from "../agent/greet.ts";
import { MuxDuplex } from "./mux-duplex.ts";

/** Longer than any connection: the owners of connections decide when they end. */
const PATIENT_CLOSE_MS = 2_147_483_647;

/** One WebSocket to the relay that carries connections of TCP tunnels. */
export class ConnectorSession {
  readonly #session: Session;

  private constructor(transport: Transport, welcome: Welcome) {
    const session: Session = new Session({
      side: "dialler",
      id: welcome.session,
      resumable: false,
      localWindow: LIMITS.REQUEST_WINDOW_INITIAL_BYTES,
      peerWindow: welcome.window,
      peerMaxStreams: welcome.maxStreams,
      localMaxStreams: 0,
      heartbeat: welcome.heartbeat,
      handler: {
        onStream() {},
        onControl: (message) => {
          if (message.type === "drain") void this.close();
        },
        onState() {},
        onClosed() {},
      },
    });
    this.#session = session;
    session.attach(transport);
  }

  /** Dials the path of connectors and says hello. */
  static async start(options: DialOptions, name: string, signal: AbortSignal): Promise<ConnectorSession> {
    const transport = await dial({ ...options, path: `/$$ggrok/connect/${encodeURIComponent(name)}` }, signal);
    const hello: Hello = {
      type: "hello",
      role: "connector",
      software: options.userAgent,
      agentId: randomBytes(16).toString("base64url"),
      instance: randomBytes(16).toString("base64url"),
      attempt: 1,
      slot: 0,
      capabilities: [],
      window: LIMITS.REQUEST_WINDOW_INITIAL_BYTES,
      maxStreams: 1,
    };
    let session: ConnectorSession | undefined;
    await greet(
      transport,
      hello,
      (welcome) => {
        session = new ConnectorSession(transport, welcome);
      },
      signal,
    );
    if (session === undefined) throw new GgrokError("ERR_GGROK_RELAY_UNREACHABLE");
    return session;
  }

  /** Whether another connection can be opened; otherwise a new session is needed. */
  get canOpen(): boolean {
    return this.#session.canOpen;
  }

  /** Opens a connection; resolves when the app has taken it. */
  async open(name: string, signal: AbortSignal): Promise<MuxDuplex> {
    signal.throwIfAborted();
    const duplex = new MuxDuplex();
    const head = { kind: "tcp", bind: name, requestId: randomBytes(9).toString("base64url") } as const;
    duplex.attach(this.#session.open(head, duplex, { fin: false }));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = (): void => void duplex.destroy(signal.reason instanceof Error ? signal.reason : undefined);
    signal.addEventListener("abort", abort, { once: true });
    duplex.once("connect", resolve);
    duplex.on("error", reject);
    duplex.once("close", () => reject(new GgrokError("ERR_GGROK_SESSION_LOST")));
    try {
      await promise;
    } finally {
      signal.removeEventListener("abort", abort);
    }
    return duplex;
  }

  /** Opens nothing more and ends when the open connections have ended. */
  close(): Promise<void> {
    return this.#session.close(PATIENT_CLOSE_MS);
  }
}
