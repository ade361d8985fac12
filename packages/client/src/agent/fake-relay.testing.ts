import {
  type Bind,
  type ControlMessage,
  createMemoryLink,
  decodeControlMessage,
  encodeControlMessage,
  GgrokError,
  type Hello,
  Session,
  type Transport,
  type Welcome,
} from "@ggrok/protocol";
import { afterEach } from "vitest";
import { Agent, type AgentOptions } from "./agent.ts";
import { DialError } from "./dial.ts";
import { type AgentEvent, EventHub } from "./events.ts";

const HEARTBEAT = { intervalMs: 5_000, timeoutMs: 12_500 };

/** One connection as a relay has it: its session, what came on it, and a word to say. */
export class RelaySide {
  readonly hello: Hello;
  readonly transport: Transport;
  readonly received: ControlMessage[] = [];
  readonly session: Session;
  closed: GgrokError | undefined;

  constructor(hello: Hello, transport: Transport, getSession: (side: RelaySide) => Session) {
    this.hello = hello;
    this.transport = transport;
    this.session = getSession(this);
  }

  binds(): Bind[] {
    return this.received.filter((message) => message.type === "bind");
  }
}

/** A relay that says what a test tells it to. */
export class FakeRelay {
  readonly sides: RelaySide[] = [];
  /** What happens at the next dials, in order; when it is empty they succeed. */
  readonly failures: (DialError | ((hello: Hello) => ControlMessage))[] = [];
  onBind: (side: RelaySide, bind: Bind) => ControlMessage | undefined = (_side, bind) => ({
    type: "bound",
    bind: bind.bind,
    url: bind.url ?? "https://given.example",
    claim: bind.claim ?? 1_000,
  });
  domain: string | undefined = "example";
  holdMs = 30_000;
  #resumable: RelaySide | undefined;

  readonly connect = async (): Promise<Transport> => {
    const failure = this.failures[0];
    if (failure instanceof DialError) {
      this.failures.shift();
      throw failure;
    }
    const [agentEnd, relayEnd] = createMemoryLink();
    relayEnd.handler = {
      onMessage: (message) => {
        const hello = decodeControlMessage(message);
        if (hello?.type !== "hello") throw new Error("no hello");
        this.#greet(hello, relayEnd);
      },
      onDrain() {},
      onClose() {},
    };
    return agentEnd;
  };

  get last(): RelaySide {
    const side = this.sides.at(-1);
    if (side === undefined) throw new Error("nobody came");
    return side;
  }

  #greet(hello: Hello, transport: Transport): void {
    const refusal = this.failures.shift();
    if (typeof refusal === "function") {
      transport.send(encodeControlMessage(refusal(hello)));
      transport.flush();
      return;
    }
    const resumed =
      hello.resume !== undefined && this.#resumable?.session.id === hello.resume.session ? this.#resumable : undefined;
    const id = resumed?.session.id ?? `session-${this.sides.length + 1}`;
    const side = new RelaySide(hello, transport, (own) => resumed?.session ?? this.#createSession(id, own));
    const welcome: Welcome = {
      type: "welcome",
      session: id,
      secret: "0123456789abcdef",
      relayId: "relay",
      version: "1.0",
      capabilities: ["resume"],
      window: 65_536,
      maxStreams: 0,
      heartbeat: HEARTBEAT,
      holdMs: this.holdMs,
      resumed: resumed !== undefined,
      received: resumed?.session.detach() ?? 0,
      slots: 1,
      ...(this.domain !== undefined && { domain: this.domain }),
    };
    this.sides.push(side);
    transport.send(encodeControlMessage(welcome));
    transport.flush();
    side.session.attach(
      transport,
      resumed === undefined || hello.resume === undefined ? {} : { peerReceived: hello.resume.received },
    );
    this.#resumable = side;
  }

  #createSession(id: string, side: RelaySide): Session {
    return new Session({
      side: "listener",
      id,
      resumable: true,
      localWindow: 65_536,
      peerWindow: 65_536,
      peerMaxStreams: 100,
      localMaxStreams: 0,
      heartbeat: HEARTBEAT,
      handler: {
        onStream() {},
        onControl: (message) => {
          side.received.push(message);
          const answer = message.type === "bind" ? this.onBind(side, message) : undefined;
          if (answer !== undefined) side.session.sendControl(answer);
        },
        onState() {},
        onClosed: (error) => {
          side.closed = error;
        },
      },
    });
  }

  /** The session that could be resumed is gone. */
  forget(): void {
    this.#resumable = undefined;
  }
}

const agents: Agent[] = [];
afterEach(async () => {
  for (const agent of agents.splice(0)) {
    agent.destroy();
    await agent.ended;
  }
});

/** Starts an agent at a relay; it is destroyed after the test. */
export function startAgent(
  relay: FakeRelay,
  o: Partial<AgentOptions> & { spec?: Partial<AgentOptions["tunnels"][number]> } = {},
) {
  const events = new EventHub();
  const seen: AgentEvent[] = [];
  const waiters = new Set<() => void>();
  events.tap((event) => {
    seen.push(event);
    for (const wake of waiters) wake();
  });
  const { spec, ...options } = o;
  const agent = new Agent({
    relay: { origin: "https://relay.example", isSecure: true, hostname: "relay.example", port: 443 },
    userAgent: "ggrok/test",
    agentId: "agent-id-1234",
    label: "me@here",
    retry: true,
    random: () => 0,
    events,
    connect: relay.connect,
    tunnels: [{ name: "t", target: "http://localhost:1", onStream: (stream) => stream.reset(4), ...spec }],
    ...options,
  });
  agents.push(agent);
  const until = async (name: AgentEvent["event"], count = 1): Promise<AgentEvent> => {
    for (;;) {
      const found = seen.filter((event) => event.event === name)[count - 1];
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        waiters.add(resolve);
      });
    }
  };
  agent.start();
  return { agent, seen, until, names: () => seen.map((event) => event.event) };
}

/** What a dial fails with when nobody answers. */
export const unreachable = (): DialError =>
  new DialError(new GgrokError("ERR_GGROK_RELAY_UNREACHABLE"), { isFinal: false });
