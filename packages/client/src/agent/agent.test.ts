import {
  type Bind,
  type ControlMessage,
  createMemoryLink,
  decodeControlMessage,
  encodeControlMessage,
  GgrokError,
  type Hello,
  Session,
  type StreamHandler,
  type Transport,
  type Welcome,
} from "@ggrok/protocol";
import { afterEach, describe, expect, it } from "vitest";
import { Agent, type AgentOptions } from "./agent.ts";
import { DialError } from "./dial.ts";
import { type AgentEvent, EventHub } from "./events.ts";

const IDLE: StreamHandler = { onData: () => true, onTrailers() {}, onReset() {}, onDrain() {} };
const HEARTBEAT = { intervalMs: 5_000, timeoutMs: 12_500 };

/** One connection as a relay has it: its session, what came on it, and a word to say. */
class RelaySide {
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
class FakeRelay {
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

function start(relay: FakeRelay, o: Partial<AgentOptions> & { spec?: Partial<AgentOptions["tunnels"][number]> } = {}) {
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

const refusal = (code: string, retry: "never" | "after") => (): ControlMessage => ({
  type: "refused",
  code,
  message: "no",
  retry,
});
const unreachable = (): DialError => new DialError(new GgrokError("ERR_GGROK_RELAY_UNREACHABLE"), { isFinal: false });

describe("getting online", () => {
  it("counts its tries up, and says when the relay confirmed the address", async () => {
    const relay = new FakeRelay();
    relay.failures.push(unreachable(), unreachable());
    const { agent, names } = start(relay);
    await agent.ready;
    expect(relay.last.hello).toMatchObject({
      role: "agent",
      attempt: 3,
      slot: 0,
      capabilities: ["resume"],
      label: "me@here",
    });
    expect(names()).toEqual([
      "session.connecting",
      "session.reconnecting",
      "session.connecting",
      "session.reconnecting",
      "session.connecting",
      "session.online",
      "tunnel.online",
    ]);
    expect(agent.isOnline).toBe(true);
  });

  it("ends where trying again cannot help, and only there", async () => {
    for (const code of ["ERR_GGROK_TOKEN_REFUSED", "ERR_GGROK_VERSION_UNSUPPORTED"] as const) {
      const relay = new FakeRelay();
      relay.failures.push(new DialError(new GgrokError(code), { isFinal: true }));
      expect(await start(relay).agent.ended).toMatchObject({ code });
      const greeted = new FakeRelay();
      greeted.failures.push(refusal(code, "never"));
      expect(await start(greeted).agent.ended).toMatchObject({ code });
    }
    const relay = new FakeRelay();
    relay.failures.push(refusal("ERR_GGROK_RELAY_OVERLOADED", "after"), refusal("ERR_GGROK_SUPERSEDED", "never"));
    await start(relay).agent.ready;
    expect(relay.last.hello.attempt).toBe(3);
  });

  it("ends at the first failure with retry off", async () => {
    const relay = new FakeRelay();
    relay.failures.push(unreachable());
    const { agent, names } = start(relay, { retry: false });
    expect(await agent.ended).toMatchObject({ code: "ERR_GGROK_RELAY_UNREACHABLE", exitCode: 6 });
    expect(names()).toEqual(["session.connecting", "error"]);
  });

  it("asks for the remembered address only where the relay gives names, and for another when that one is gone", async () => {
    const single = new FakeRelay();
    single.domain = undefined;
    await start(single, { spec: { recalledUrl: "https://old.example" } }).agent.ready;
    expect(single.last.binds()[0]?.url).toBeUndefined();
    const relay = new FakeRelay();
    relay.onBind = (_side, bind) =>
      bind.url === undefined
        ? { type: "bound", bind: bind.bind, url: "https://new.example", claim: 1 }
        : {
            type: "bind-refused",
            bind: bind.bind,
            code: "ERR_GGROK_NAME_TAKEN",
            message: "someone else's",
            retry: "never",
          };
    const notices: string[] = [];
    const { agent } = start(relay, {
      spec: { recalledUrl: "https://old.example" },
      onNotice: (text) => notices.push(text),
    });
    await agent.ready;
    expect(agent.tunnels[0]?.url).toBe("https://new.example");
    expect(notices).toHaveLength(1);
  });

  it("ends with the reason when a tunnel has more rules than a message can carry", async () => {
    const cidrAllow = Array.from({ length: 10_000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
    const { agent } = start(new FakeRelay(), { spec: { options: { cidrAllow } } });
    expect(await agent.ended).toMatchObject({ code: "ERR_GGROK_CONFIG_INVALID", exitCode: 3 });
  });

  it("never replaces a name that was asked for", async () => {
    const relay = new FakeRelay();
    relay.onBind = (_side, bind) => ({
      type: "bind-refused",
      bind: bind.bind,
      code: "ERR_GGROK_NAME_TAKEN",
      message: "taken",
      holder: "you@there",
      retry: "never",
    });
    const { agent } = start(relay, { spec: { url: "mine" } });
    const error = await agent.ended;
    expect(error).toMatchObject({ code: "ERR_GGROK_NAME_TAKEN", exitCode: 5 });
    expect(error?.message).toContain("you@there");
    await expect(agent.ready).rejects.toBe(error);
  });
});

describe("losing the link", () => {
  it("continues the session with its secret and binds nothing again", async () => {
    const relay = new FakeRelay();
    const { agent, until } = start(relay);
    await agent.ready;
    relay.last.transport.destroy();
    expect(await until("session.online", 2)).toMatchObject({ resumed: true });
    expect(relay.last.hello).toMatchObject({
      attempt: 2,
      resume: { session: "session-1", secret: "0123456789abcdef" },
    });
    expect(relay.sides[0]?.binds()).toHaveLength(1);
    expect(await until("tunnel.online", 2)).toMatchObject({ url: "https://given.example" });
  });

  it("gets the same address from a relay that knows nothing of it, and shows its claim", async () => {
    const relay = new FakeRelay();
    const { agent, until } = start(relay, { spec: { isTakeover: true } });
    await agent.ready;
    expect(relay.last.binds()[0]).toMatchObject({ takeover: true });
    relay.forget();
    relay.last.transport.destroy();
    await until("tunnel.online", 2);
    const again = relay.last.binds()[0];
    expect(again).toMatchObject({ url: "https://given.example", claim: 1_000 });
    expect(again?.takeover).toBeUndefined();
    expect(again?.ageMs).toBeGreaterThanOrEqual(0);
  });

  it("gives an account of itself once the session cannot be continued", async () => {
    const relay = new FakeRelay();
    relay.holdMs = 1;
    const arrived = Promise.withResolvers<void>();
    const { agent, until } = start(relay, {
      random: () => 0.1,
      spec: {
        onStream: (opened) => {
          opened.handler = IDLE;
          arrived.resolve();
        },
      },
    });
    await agent.ready;
    const stream = relay.last.session.open(
      { kind: "http", bind: 1, requestId: "r", method: "GET", target: "/", version: "1.1", fields: [] },
      IDLE,
      { fin: true },
    );
    await arrived.promise;
    relay.last.transport.destroy();
    await until("session.online", 2);
    expect(relay.last.hello.resume).toBeUndefined();
    expect(relay.last.hello.previous).toMatchObject({
      session: "session-1",
      lastStream: stream.id,
      undispatched: [stream.id],
    });
  });
});

describe("being told to move", () => {
  it("binds on the new session before the old one ends, without going offline", async () => {
    const relay = new FakeRelay();
    const { agent, until, names } = start(relay);
    await agent.ready;
    const old = relay.last;
    let wasOldOpen = false;
    relay.onBind = (_side, bind) => {
      wasOldOpen = old.closed === undefined && old.session.state === "open";
      return { type: "bound", bind: bind.bind, url: bind.url ?? "", claim: bind.claim ?? 0 };
    };
    old.session.sendControl({ type: "drain", reason: "restart", reconnect: "now" });
    await until("session.online", 2);
    await expect.poll(() => old.closed).toBeDefined();
    expect(wasOldOpen).toBe(true);
    expect(relay.last.hello).toMatchObject({ attempt: 2, instance: old.hello.instance });
    expect(relay.last.hello.resume).toBeUndefined();
    expect(names().filter((name) => name !== "session.online")).toEqual(["session.connecting", "tunnel.online"]);
    expect(agent.isOnline).toBe(true);
  });

  it("goes on trying while the new relay is not there, and says so only when the old session is over", async () => {
    const relay = new FakeRelay();
    const { agent, until, names } = start(relay);
    await agent.ready;
    relay.failures.push(unreachable(), unreachable());
    relay.last.session.sendControl({ type: "drain", reason: "restart", reconnect: "now" });
    await until("session.online", 2);
    expect(names()).not.toContain("session.reconnecting");
    expect(names()).not.toContain("tunnel.offline");
  });

  it("ends when the relay wants no return", async () => {
    const relay = new FakeRelay();
    const { agent } = start(relay);
    await agent.ready;
    relay.last.session.sendControl({ type: "drain", reason: "go away", reconnect: "never" });
    const error = await agent.ended;
    expect(error?.message).toContain("go away");
  });
});

describe("losing the name", () => {
  it("says taken-over, ends with 5, and does not come back", async () => {
    const relay = new FakeRelay();
    const { agent, seen } = start(relay);
    await agent.ready;
    relay.last.session.sendControl({ type: "unbound", bind: 1, code: "ERR_GGROK_TAKEN_OVER", holder: "you@there" });
    const error = await agent.ended;
    expect(error).toMatchObject({ code: "ERR_GGROK_TAKEN_OVER", exitCode: 5 });
    expect(error?.message).toContain("you@there");
    expect(seen).toContainEqual({ event: "tunnel.offline", name: "t", reason: "taken-over" });
    expect(relay.sides).toHaveLength(1);
  });
});

describe("closing", () => {
  it("gives names back, says goodbye, and settles once", async () => {
    const relay = new FakeRelay();
    const { agent, names } = start(relay);
    await agent.ready;
    const side = relay.last;
    await Promise.all([agent.close(), agent.close()]);
    expect(await agent.ended).toBeUndefined();
    expect(side.received.map((message) => message.type)).toEqual(["bind", "unbind", "drain"]);
    expect(names().at(-1)).toBe("tunnel.offline");
  });

  it("cuts a pause short", async () => {
    const relay = new FakeRelay();
    relay.failures.push(
      new DialError(new GgrokError("ERR_GGROK_RELAY_UNREACHABLE"), { isFinal: false, afterMs: 20_000 }),
    );
    const { agent, until } = start(relay);
    expect(await until("session.reconnecting")).toMatchObject({ attempt: 2, delayMs: 20_000 });
    await agent.close();
    expect(await agent.ended).toBeUndefined();
  });
});

describe("several tunnels", () => {
  const spec = (name: string) => ({
    name,
    url: `https://${name}.example`,
    target: `http://localhost/${name}`,
    onStream: (stream: { reset(code: 4): void }) => stream.reset(4),
  });
  const asked = (relay: FakeRelay) => relay.last.binds().map(({ bind, url }) => [bind, url]);

  it("come and go on the running session, each under a number of its own", async () => {
    const relay = new FakeRelay();
    const { agent, until, seen } = start(relay, { tunnels: [spec("a")] });
    await agent.ready;
    const b = agent.add(spec("b"));
    await until("tunnel.online", 2);
    agent.remove(b);
    agent.add(spec("c"));
    await until("tunnel.online", 3);
    expect(asked(relay)).toEqual([
      [1, "https://a.example"],
      [2, "https://b.example"],
      [3, "https://c.example"],
    ]);
    expect(relay.last.received.filter((message) => message.type === "unbind")).toEqual([{ type: "unbind", bind: 2 }]);
    expect(seen.filter(({ event }) => event === "tunnel.offline")).toEqual([
      { event: "tunnel.offline", name: "b", reason: "closed" },
    ]);
    expect(agent.tunnels.map((tunnel) => tunnel.spec.name)).toEqual(["a", "c"]);
    expect(agent.isOnline).toBe(true);
  });

  it("that came while the link was down are asked for with the others", async () => {
    const relay = new FakeRelay();
    relay.failures.push(unreachable());
    const { agent, until } = start(relay, { tunnels: [spec("a")] });
    await until("session.reconnecting");
    agent.add(spec("b"));
    await agent.ready;
    expect(asked(relay)).toEqual([
      [1, "https://a.example"],
      [2, "https://b.example"],
    ]);
  });

  it("do not fall with one that cannot be had later, but with one of the beginning", async () => {
    const relay = new FakeRelay();
    const bound = relay.onBind;
    relay.onBind = (side, bind) =>
      bind.url?.includes("taken") === true
        ? {
            type: "bind-refused",
            bind: bind.bind,
            code: "ERR_GGROK_NAME_TAKEN",
            message: "it is taken",
            retry: "never",
          }
        : bound(side, bind);
    const notices: string[] = [];
    const { agent, until } = start(relay, { tunnels: [spec("a")], onNotice: (text) => notices.push(text) });
    await agent.ready;
    agent.add(spec("taken"));
    expect(await until("tunnel.offline")).toMatchObject({ name: "taken", reason: "ERR_GGROK_NAME_TAKEN" });
    expect(notices).toEqual(["taken: it is taken"]);
    expect(agent.tunnels.map((tunnel) => tunnel.spec.name)).toEqual(["a"]);
    expect(agent.isOnline).toBe(true);
    const other = start(relay, { tunnels: [spec("b"), spec("taken")] });
    expect((await other.agent.ended)?.code).toBe("ERR_GGROK_NAME_TAKEN");
  });

  it("lose one name to another agent, and end with the last", async () => {
    const relay = new FakeRelay();
    const { agent, until } = start(relay, { tunnels: [spec("a"), spec("b")] });
    await agent.ready;
    relay.last.session.sendControl({ type: "unbound", bind: 1, code: "ERR_GGROK_TAKEN_OVER" });
    expect(await until("tunnel.offline")).toMatchObject({ name: "a", reason: "taken-over" });
    expect(agent.isOnline).toBe(true);
    relay.last.session.sendControl({ type: "unbound", bind: 2, code: "ERR_GGROK_TAKEN_OVER" });
    expect((await agent.ended)?.code).toBe("ERR_GGROK_TAKEN_OVER");
  });
});
