import { describe, expect, it } from "vitest";
import { FakeRelay, startAgent, unreachable } from "./fake-relay.testing.ts";

describe("one tunnel", () => {
  it("asks for the remembered address only where the relay gives names, and for another when that one is gone", async () => {
    const single = new FakeRelay();
    single.domain = undefined;
    await startAgent(single, { spec: { recalledUrl: "https://old.example" } }).agent.ready;
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
    const { agent } = startAgent(relay, {
      spec: { recalledUrl: "https://old.example" },
      onNotice: (text) => notices.push(text),
    });
    await agent.ready;
    expect(agent.tunnels[0]?.url).toBe("https://new.example");
    expect(notices).toHaveLength(1);
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
    const { agent } = startAgent(relay, { spec: { url: "mine" } });
    const error = await agent.ended;
    expect(error).toMatchObject({ code: "ERR_GGROK_NAME_TAKEN", exitCode: 5 });
    expect(error?.message).toContain("you@there");
    await expect(agent.ready).rejects.toBe(error);
  });

  it("ends with the reason when a tunnel has more rules than a message can carry", async () => {
    const cidrAllow = Array.from({ length: 10_000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
    const { agent } = startAgent(new FakeRelay(), { spec: { options: { cidrAllow } } });
    expect(await agent.ended).toMatchObject({ code: "ERR_GGROK_CONFIG_INVALID", exitCode: 3 });
  });

  it("says taken-over, ends with 5, and does not come back", async () => {
    const relay = new FakeRelay();
    const { agent, seen } = startAgent(relay);
    await agent.ready;
    relay.last.session.sendControl({ type: "unbound", bind: 1, code: "ERR_GGROK_TAKEN_OVER", holder: "you@there" });
    const error = await agent.ended;
    expect(error).toMatchObject({ code: "ERR_GGROK_TAKEN_OVER", exitCode: 5 });
    expect(error?.message).toContain("you@there");
    expect(seen).toContainEqual({ event: "tunnel.offline", name: "t", reason: "taken-over" });
    expect(relay.sides).toHaveLength(1);
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
    const { agent, until, seen } = startAgent(relay, { tunnels: [spec("a")] });
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
    const { agent, until } = startAgent(relay, { tunnels: [spec("a")] });
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
    const { agent, until } = startAgent(relay, { tunnels: [spec("a")], onNotice: (text) => notices.push(text) });
    await agent.ready;
    agent.add(spec("taken"));
    expect(await until("tunnel.offline")).toMatchObject({ name: "taken", reason: "ERR_GGROK_NAME_TAKEN" });
    expect(notices).toEqual(["taken: it is taken"]);
    expect(agent.tunnels.map((tunnel) => tunnel.spec.name)).toEqual(["a"]);
    expect(agent.isOnline).toBe(true);
    const other = startAgent(relay, { tunnels: [spec("b"), spec("taken")] });
    expect((await other.agent.ended)?.code).toBe("ERR_GGROK_NAME_TAKEN");
  });

  it("lose one name to another agent, and end with the last", async () => {
    const relay = new FakeRelay();
    const { agent, until } = startAgent(relay, { tunnels: [spec("a"), spec("b")] });
    await agent.ready;
    relay.last.session.sendControl({ type: "unbound", bind: 1, code: "ERR_GGROK_TAKEN_OVER" });
    expect(await until("tunnel.offline")).toMatchObject({ name: "a", reason: "taken-over" });
    expect(agent.isOnline).toBe(true);
    relay.last.session.sendControl({ type: "unbound", bind: 2, code: "ERR_GGROK_TAKEN_OVER" });
    expect((await agent.ended)?.code).toBe("ERR_GGROK_TAKEN_OVER");
  });

  it("that came while the session waited to be resumed are asked for on it", async () => {
    const relay = new FakeRelay();
    const { agent, until } = startAgent(relay, { tunnels: [spec("a")] });
    await agent.ready;
    relay.failures.push(unreachable());
    relay.last.transport.destroy();
    await until("session.reconnecting");
    agent.add(spec("b"));
    expect(await until("session.online", 2)).toMatchObject({ resumed: true });
    await expect.poll(() => agent.isOnline).toBe(true);
    expect(relay.sides[0]?.binds().map(({ url }) => url)).toEqual(["https://a.example", "https://b.example"]);
  });

  it("that go before the relay has answered leave nothing bound behind", async () => {
    const relay = new FakeRelay();
    relay.onBind = () => undefined;
    const { agent, until } = startAgent(relay, { tunnels: [spec("a"), spec("b")] });
    await until("session.online");
    await expect.poll(() => relay.last.binds().length).toBe(2);
    relay.failures.push(unreachable());
    relay.last.transport.destroy();
    await until("session.reconnecting");
    const [, b] = agent.tunnels;
    if (b !== undefined) agent.remove(b);
    await expect.poll(() => relay.sides[0]?.received.at(-1)).toEqual({ type: "unbind", bind: 2 });
  });

  it("all have their names on the new session before the old one ends", async () => {
    const relay = new FakeRelay();
    const bound = relay.onBind;
    const { agent, until } = startAgent(relay, { tunnels: [spec("a"), spec("b")] });
    await agent.ready;
    const old = relay.last;
    const held = Promise.withResolvers<void>();
    relay.onBind = (side, bind) => {
      if (bind.bind === 1) return bound(side, bind);
      void held.promise.then(() =>
        side.session.sendControl({ type: "bound", bind: 2, url: "https://b.example", claim: 1 }),
      );
      return undefined;
    };
    old.session.sendControl({ type: "drain", reason: "restart", reconnect: "now" });
    await until("session.online", 2);
    await expect.poll(() => relay.last.binds().length).toBe(2);
    // The agent has the first name's answer once it has answered what was sent after it, and what it did about it comes
    // before its next answer on the old session.
    await relay.last.session.ping(10_000);
    await old.session.ping(10_000);
    expect(old.session.state).toBe("open");
    held.resolve();
    await expect.poll(() => old.closed).toBeDefined();
    expect(agent.isOnline).toBe(true);
  });
});
