import { type ControlMessage, GgrokError, type StreamHandler } from "@ggrok/protocol";
import { describe, expect, it } from "vitest";
import { DialError } from "./dial.ts";
import { FakeRelay, startAgent, unreachable } from "./fake-relay.testing.ts";

const IDLE: StreamHandler = { onData: () => true, onTrailers() {}, onReset() {}, onDrain() {} };

const refusal = (code: string, retry: "never" | "after") => (): ControlMessage => ({
  type: "refused",
  code,
  message: "no",
  retry,
});

describe("getting online", () => {
  it("counts its tries up, and says when the relay confirmed the address", async () => {
    const relay = new FakeRelay();
    relay.failures.push(unreachable(), unreachable());
    const { agent, names } = startAgent(relay);
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
      expect(await startAgent(relay).agent.ended).toMatchObject({ code });
      const greeted = new FakeRelay();
      greeted.failures.push(refusal(code, "never"));
      expect(await startAgent(greeted).agent.ended).toMatchObject({ code });
    }
    const relay = new FakeRelay();
    relay.failures.push(refusal("ERR_GGROK_RELAY_OVERLOADED", "after"), refusal("ERR_GGROK_SUPERSEDED", "never"));
    await startAgent(relay).agent.ready;
    expect(relay.last.hello.attempt).toBe(3);
  });

  it("ends at the first failure with retry off", async () => {
    const relay = new FakeRelay();
    relay.failures.push(unreachable());
    const { agent, names } = startAgent(relay, { retry: false });
    expect(await agent.ended).toMatchObject({ code: "ERR_GGROK_RELAY_UNREACHABLE", exitCode: 6 });
    expect(names()).toEqual(["session.connecting", "error"]);
  });
});

describe("losing the link", () => {
  it("continues the session with its secret and binds nothing again", async () => {
    const relay = new FakeRelay();
    const { agent, until } = startAgent(relay);
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
    const { agent, until } = startAgent(relay, { spec: { isTakeover: true } });
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
    const { agent, until } = startAgent(relay, {
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
    const { agent, until, names } = startAgent(relay);
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
    const { agent, until, names } = startAgent(relay);
    await agent.ready;
    relay.failures.push(unreachable(), unreachable());
    relay.last.session.sendControl({ type: "drain", reason: "restart", reconnect: "now" });
    await until("session.online", 2);
    expect(names()).not.toContain("session.reconnecting");
    expect(names()).not.toContain("tunnel.offline");
  });

  it("ends when the relay wants no return", async () => {
    const relay = new FakeRelay();
    const { agent } = startAgent(relay);
    await agent.ready;
    relay.last.session.sendControl({ type: "drain", reason: "go away", reconnect: "never" });
    const error = await agent.ended;
    expect(error?.message).toContain("go away");
  });
});

describe("closing", () => {
  it("gives names back, says goodbye, and settles once", async () => {
    const relay = new FakeRelay();
    const { agent, names } = startAgent(relay);
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
    const { agent, until } = startAgent(relay);
    expect(await until("session.reconnecting")).toMatchObject({ attempt: 2, delayMs: 20_000 });
    await agent.close();
    expect(await agent.ended).toBeUndefined();
  });
});
