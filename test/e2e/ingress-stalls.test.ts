import { ResetCode } from "@ggrok/protocol";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Exchange, get, startIngress } from "./ingress-world.ts";

const stallLimits = { bodyStallMs: 200, bodyStallBytes: 10, readerStallMs: 300, stallCheckIntervalMs: 50 };

// The relay's clocks stand still and move on only where a test says so; the sockets are real.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "setTimeout", "clearTimeout", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Lets time pass on the relay's clocks, and everything happen that follows from it. */
async function pass(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 50) {
    vi.advanceTimersByTime(50);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

/** Lets time pass until something has happened that is waited for. */
async function passUntil<T>(event: Promise<T>): Promise<T> {
  let isOver = false;
  const watched = event.finally(() => {
    isOver = true;
  });
  for (let turn = 0; turn < 5_000 && !isOver; turn += 1) await pass(50);
  return watched;
}

describe("a visitor who stands still", () => {
  it("within a body the relay is ready to take is told so", async () => {
    await using world = await startIngress({ config: { stallLimits } });
    world.app = () => {};
    const visitor = await world.visit("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\nslow");
    const exchange = await world.exchange(0);
    expect(await passUntil(visitor.untilClosed())).toMatch(/^HTTP\/1\.1 408 [\s\S]*ERR_GGROK_REQUEST_TIMEOUT/u);
    expect((await exchange.untilReset()).code).toBe(ResetCode.VisitorLeft);
    expect(exchange.hasEnded).toBe(false);
  });

  it("is left alone while the app does not take the body", async () => {
    await using world = await startIngress({ config: { stallLimits } });
    world.app = (exchange) => {
      exchange.isFull = true;
    };
    const visitor = await world.visit("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4000000\r\n\r\n");
    visitor.send(Buffer.alloc(4_000_000));
    const exchange = await world.exchange(0);
    await pass(600);
    expect(visitor.text).toBe("");
    exchange.isFull = false;
    exchange.stream.resume();
    expect(await exchange.untilEnded()).toHaveLength(4_000_000);
  });

  it("is left alone while there is no agent", async () => {
    await using world = await startIngress({ agents: 0, config: { stallLimits } });
    world.app = (exchange) => void exchange.untilEnded().then((body) => exchange.answer(200, [], body));
    const visitor = await world.visit("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nsl");
    await world.signal.until("a parked request", () => world.parked === 1);
    await pass(600);
    expect(visitor.text).toBe("");
    world.addAgent();
    visitor.send("ow");
    await visitor.until("slow");
  });

  it("is left alone once the answer has begun: the app knows what it waits for", async () => {
    await using world = await startIngress({ config: { stallLimits } });
    world.app = (exchange) => exchange.answer(200, []);
    const visitor = await world.visit(
      "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
    );
    await visitor.until("\r\n\r\n");
    await pass(600);
    const exchange = await world.exchange(0);
    expect(exchange.reset).toBeUndefined();
    visitor.send("1\r\nb\r\n0\r\n\r\n");
    expect((await exchange.untilEnded()).toString()).toBe("ab");
    exchange.stream.end();
    await visitor.until("0\r\n\r\n");
  });

  it("and takes nothing of a waiting answer is cut off", async () => {
    await using world = await startIngress({ config: { stallLimits } });
    world.app = (exchange) => {
      exchange.answer(200, []);
      for (let i = 0; i < 64; i += 1) exchange.stream.write(Buffer.alloc(1_048_576));
    };
    const visitor = await world.visit();
    visitor.isCounting = true;
    visitor.socket.pause();
    visitor.send(get());
    const exchange = await world.exchange(0);
    expect((await passUntil(exchange.untilReset())).code).toBe(ResetCode.VisitorLeft);
  });

  it("is left alone while the app has nothing to say", async () => {
    await using world = await startIngress({ config: { stallLimits } });
    world.app = (exchange) => exchange.answer(200, []);
    const visitor = await world.visit(get());
    await visitor.until("\r\n\r\n");
    await pass(600);
    (await world.exchange(0)).stream.end(Buffer.from("late"));
    await visitor.until("late");
  });
});

describe("a visitor who resets while nothing of it is read", () => {
  const full = (exchange: Exchange): void => {
    exchange.isFull = true;
  };

  it("within an upload the app does not take is told to the app", async () => {
    await using world = await startIngress({ config: { stallLimits } });
    world.app = full;
    const visitor = await world.visit("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4000000\r\n\r\n");
    visitor.send(Buffer.alloc(3_000_000));
    const exchange = await world.exchange(0);
    await exchange.signal.until("the first bytes", () => exchange.bytes > 0);
    await pass(200);
    expect(exchange.reset).toBeUndefined();
    visitor.socket.resetAndDestroy();
    expect((await passUntil(exchange.untilReset())).code).toBe(ResetCode.VisitorLeft);
  });

  it("on an upgraded connection is told to the app", async () => {
    await using world = await startIngress({ config: { stallLimits } });
    world.app = (exchange) => {
      full(exchange);
      exchange.stream.sendHead({ status: 101, reason: "", fields: ["Connection", "Upgrade", "Upgrade", "x"] });
    };
    const visitor = await world.visit(get("/", "Connection: Upgrade\r\nUpgrade: x\r\n"));
    const exchange = await world.exchange(0);
    await visitor.until("\r\n\r\n");
    visitor.send(Buffer.alloc(3_000_000));
    await exchange.signal.until("the first bytes", () => exchange.bytes > 0);
    await pass(200);
    expect(exchange.reset).toBeUndefined();
    visitor.socket.resetAndDestroy();
    expect((await passUntil(exchange.untilReset())).code).toBe(ResetCode.VisitorLeft);
  });

  it("while it waits for an agent does not keep its place", async () => {
    await using world = await startIngress({ agents: 0, config: { stallLimits } });
    const visitor = await world.visit("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4000000\r\n\r\n");
    visitor.send(Buffer.alloc(3_000_000));
    await world.signal.until("a parked request", () => world.parked === 1);
    await pass(200);
    expect(world.records).toHaveLength(0);
    visitor.socket.resetAndDestroy();
    expect(await passUntil(world.record(0))).toMatchObject({ status: 0 });
  });
});

describe("a platform that waits only so long for the beginning of an answer", () => {
  it("is forestalled with 504", async () => {
    await using world = await startIngress({ config: { firstByteMs: 100 } });
    world.app = () => {};
    const visitor = await world.visit(get());
    expect(await passUntil(visitor.until("UPSTREAM_TIMEOUT"))).toMatch(/^HTTP\/1\.1 504 /u);
    expect((await (await world.exchange(0)).untilReset()).code).toBe(ResetCode.VisitorLeft);
  });

  it("lets an answer that has begun take its time", async () => {
    await using world = await startIngress({ config: { firstByteMs: 100 } });
    world.app = (exchange) => exchange.answer(200, []);
    const visitor = await world.visit(get());
    await visitor.until("\r\n\r\n");
    await pass(300);
    (await world.exchange(0)).stream.end(Buffer.from("late"));
    await visitor.until("late");
  });

  it("does not count the upload", async () => {
    await using world = await startIngress({ config: { firstByteMs: 100 } });
    world.app = (exchange) => void exchange.untilEnded().then((body) => exchange.answer(200, [], body));
    const visitor = await world.visit("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 8\r\n\r\nhalf");
    const exchange = await world.exchange(0);
    await exchange.signal.until("the first half", () => exchange.bytes === 4);
    await pass(300);
    visitor.send("body");
    await visitor.until("halfbody");
  });

  it("ends the wait for an agent too", async () => {
    await using world = await startIngress({ agents: 0, config: { firstByteMs: 100 } });
    const visitor = await world.visit(get());
    expect(await passUntil(visitor.until("UPSTREAM_TIMEOUT"))).toMatch(/^HTTP\/1\.1 504 /u);
  });
});

describe("an upload nobody wants any more", () => {
  it("is read for a while behind its answer, and then cut", async () => {
    await using world = await startIngress();
    world.app = (exchange) => {
      exchange.answer(413, ["Content-Length", "8"], "too much");
      exchange.stream.reset(ResetCode.StopSending);
    };
    const visitor = await world.visit("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\npart");
    await visitor.until("too much");
    await world.record();
    visitor.send("more");
    await pass(1_000);
    expect(visitor.isClosed).toBe(false);
    await pass(30_000);
    await visitor.untilClosed();
  });

  it("holds the end of an answer without length back only a moment", async () => {
    await using world = await startIngress();
    world.app = (exchange) => {
      exchange.answer(413, []);
      exchange.onData = () => {
        if (!exchange.stream.localEnded) exchange.stream.end(Buffer.from("too much"));
        exchange.stream.reset(ResetCode.StopSending);
        return true;
      };
    };
    const visitor = await world.visit(
      "POST / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\npart",
    );
    await visitor.until("too much");
    expect(visitor.text).not.toContain("0\r\n\r\n");
    expect(await passUntil(visitor.untilClosed())).toMatch(/too much\r\n0\r\n\r\n$/u);
  });
});
