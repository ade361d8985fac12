import { ResetCode } from "@ggrok/protocol";
import { describe, expect, it } from "vitest";
import { get, startIngress } from "./ingress-world.ts";

const post = (body: string): string =>
  `POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

describe("while the agent is away", () => {
  it("requests wait and go out when it is back", async () => {
    await using world = await startIngress({ agents: 0 });
    world.app = (exchange) =>
      void exchange.untilEnded().then((body) => exchange.answer(200, ["Content-Length", String(body.length)], body));
    const visitor = await world.visit(post("hello"));
    await world.signal.until("a parked request", () => world.parked === 1);
    expect(visitor.text).toBe("");
    world.addAgent();
    await visitor.until("hello");
    expect((await world.exchange(0)).head.method).toBe("POST");
  });

  it("they are told so when it does not come", async () => {
    await using world = await startIngress({ agents: 0 });
    const visitor = await world.visit(get());
    await world.signal.until("a parked request", () => world.parked === 1);
    world.endParking("offline");
    expect(await visitor.until("ENDPOINT_OFFLINE")).toMatch(/^HTTP\/1\.1 503 [\s\S]*Retry-After: \d+\r\n/u);
  });

  it("too many of them are refused", async () => {
    await using world = await startIngress({ agents: 0 });
    world.endParking("full");
    const visitor = await world.visit(get());
    expect(await visitor.until("RELAY_OVERLOADED")).toMatch(/^HTTP\/1\.1 503 /u);
  });

  it("one that is told ready for ever gives up", async () => {
    await using world = await startIngress({ agents: 0 });
    world.endParking("ready");
    const visitor = await world.visit(get());
    expect(await visitor.until("RELAY_OVERLOADED")).toMatch(/^HTTP\/1\.1 503 /u);
  });

  it("a visitor who leaves is not served later", async () => {
    await using world = await startIngress({ agents: 0 });
    const visitor = await world.visit(get());
    await world.signal.until("a parked request", () => world.parked === 1);
    visitor.socket.destroy();
    await world.record();
    world.addAgent();
    const next = await world.visit(get("/next"));
    await next.until("ok");
    expect(world.exchanges.map((exchange) => exchange.head.target)).toEqual(["/next"]);
  });

  it("a draining relay does not let anybody wait", async () => {
    await using world = await startIngress({ agents: 0 });
    const closed = world.ingress.close();
    const visitor = await world.visit(get());
    expect(await visitor.untilClosed()).toMatch(/^HTTP\/1\.1 503 [\s\S]*ERR_GGROK_RELAY_DRAINING/u);
    await closed;
  });
});

describe("when a session breaks before the answer", () => {
  it("a harmless request is sent again", async () => {
    await using world = await startIngress({ agents: 0 });
    const first = world.addAgent();
    world.app = () => {};
    const visitor = await world.visit(get());
    await world.exchange(0);
    world.app = (exchange) => exchange.answer(200, [], "second");
    world.addAgent();
    first.lose();
    await visitor.until("second");
    expect(world.redispatches).toBe(1);
    expect(world.exchanges[1]?.head.requestId).toBe(world.exchanges[0]?.head.requestId);
  });

  it("it is sent again twice at most", async () => {
    await using world = await startIngress({ agents: 0 });
    world.app = () => {};
    let agent = world.addAgent();
    const visitor = await world.visit(get());
    for (let n = 0; n < 3; n += 1) {
      await world.exchange(n);
      const next = world.addAgent();
      agent.lose();
      agent = next;
    }
    expect(await visitor.until("SESSION_LOST")).toMatch(/^HTTP\/1\.1 502 /u);
    expect(world.exchanges).toHaveLength(3);
  });

  it("a given POST is not sent again", async () => {
    await using world = await startIngress({ agents: 0 });
    world.app = () => {};
    const agent = world.addAgent();
    const visitor = await world.visit(post("once"));
    await (await world.exchange(0)).untilEnded();
    world.addAgent();
    agent.lose();
    expect(await visitor.until("SESSION_LOST")).toMatch(/^HTTP\/1\.1 502 /u);
    expect(world.exchanges).toHaveLength(1);
    expect(await world.record()).toMatchObject({ status: 502, code: "ERR_GGROK_SESSION_LOST" });
  });

  it("a POST that no app has seen goes out again, whole", async () => {
    await using world = await startIngress({ agents: 0 });
    world.app = () => {};
    const agent = world.addAgent();
    const visitor = await world.visit("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello");
    const first = await world.exchange(0);
    await first.signal.until("the first half", () => first.bytes === 5);
    world.app = (exchange) =>
      void exchange.untilEnded().then((body) => exchange.answer(200, ["Content-Length", "10"], body));
    world.addAgent();
    agent.lose({ lastStream: first.stream.id, undispatched: [first.stream.id] });
    visitor.send("world");
    await visitor.until("helloworld");
    expect(world.redispatches).toBe(1);
  });

  it("one with a larger body fails, since it is no longer whole", async () => {
    await using world = await startIngress({ agents: 0 });
    world.app = () => {};
    const agent = world.addAgent();
    const visitor = await world.visit(post("x".repeat(100_000)));
    const first = await world.exchange(0);
    await first.untilEnded();
    world.addAgent();
    agent.lose({ lastStream: first.stream.id, undispatched: [first.stream.id] });
    expect(await visitor.until("SESSION_LOST")).toMatch(/^HTTP\/1\.1 502 /u);
    expect(world.exchanges).toHaveLength(1);
  });

  it("an agent can hand an exchange back to another one", async () => {
    await using world = await startIngress({ agents: 0 });
    const agent = world.addAgent();
    world.app = (exchange) => {
      world.app = (next) => void next.untilEnded().then((body) => next.answer(200, [], body));
      world.addAgent();
      agent.relay.goAway(ResetCode.Draining);
      exchange.stream.reset(ResetCode.Draining, { notProcessed: true });
    };
    const visitor = await world.visit(post("hello"));
    await visitor.until("hello");
    expect(world.exchanges).toHaveLength(2);
  });

  it("an interim head makes it given", async () => {
    await using world = await startIngress({ agents: 0 });
    const agent = world.addAgent();
    world.app = ({ stream }) => stream.sendHead({ status: 103, reason: "E", fields: ["Link", "x"] });
    const visitor = await world.visit(get());
    await visitor.until("103");
    world.addAgent();
    agent.lose();
    expect(await visitor.until("SESSION_LOST")).toContain("HTTP/1.1 502 ");
    expect(world.exchanges).toHaveLength(1);
  });

  it("a request waits for the next agent when there is none yet", async () => {
    await using world = await startIngress({ agents: 0 });
    const agent = world.addAgent();
    world.app = () => {};
    const visitor = await world.visit(get());
    await world.exchange(0);
    agent.lose();
    await world.signal.until("a parked request", () => world.parked === 1);
    world.app = (exchange) => exchange.answer(200, [], "late");
    world.addAgent();
    await visitor.until("late");
  });
});

describe("when a session breaks within the answer", () => {
  it("the transfer breaks too", async () => {
    await using world = await startIngress({ agents: 0 });
    const agent = world.addAgent();
    world.app = (exchange) => {
      exchange.answer(200, []);
      exchange.stream.write(Buffer.from("part"));
    };
    const visitor = await world.visit(get());
    await visitor.until("part");
    world.addAgent();
    agent.lose();
    expect(await visitor.untilClosed()).not.toMatch(/0\r\n\r\n$/u);
    expect(await world.record()).toMatchObject({ code: "ERR_GGROK_SESSION_LOST" });
  });
});

describe("closing", () => {
  it("finishes open answers and closes their connections behind them", async () => {
    await using world = await startIngress();
    world.app = () => {};
    const visitor = await world.visit(get());
    const exchange = await world.exchange(0);
    let isClosed = false;
    const closed = world.ingress.close().then(() => {
      isClosed = true;
    });
    await new Promise<void>((resolve) => setImmediate(resolve));
    expect(isClosed).toBe(false);
    exchange.answer(200, ["Content-Length", "4"], "done");
    expect(await visitor.untilClosed()).toMatch(/Connection: close\r\n[\s\S]*done$/u);
    await closed;
  });
});
