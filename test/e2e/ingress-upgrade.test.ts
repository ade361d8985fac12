import { ResetCode } from "@ggrok/protocol";
import { describe, expect, it } from "vitest";
import { type Exchange, startIngress } from "./ingress-world.ts";

const upgrade = (protocol = "websocket", fields = ""): string =>
  `GET /socket HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n${fields}\r\n`;

const SWITCH = {
  status: 101,
  reason: "Switching Protocols",
  fields: ["Upgrade", "websocket", "Connection", "Upgrade", "X", "\u00e9"],
};

/** Agrees and sends everything back. */
function echo(exchange: Exchange): void {
  exchange.stream.sendHead(SWITCH);
  exchange.onData = (chunk, fin) => {
    exchange.bytes += chunk.length;
    const hasRoom = chunk.length === 0 || exchange.stream.write(Buffer.from(chunk));
    if (fin) exchange.stream.end();
    return hasRoom;
  };
  exchange.onDrain = () => exchange.stream.resume();
}

describe("an upgrade", () => {
  it("joins both ends, early bytes and half-close included", async () => {
    await using world = await startIngress();
    world.app = echo;
    const visitor = await world.visit(`${upgrade()}early`, { allowHalfOpen: true });
    expect(await visitor.until("early")).toBe(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX: \u00e9\r\n\r\nearly",
    );
    const { head } = await world.exchange(0);
    expect(head.kind).toBe("upgrade");
    expect(head.fields.slice(0, 6)).toEqual(["Host", "a.test", "Connection", "Upgrade", "Upgrade", "websocket"]);
    visitor.send("\u0000\u00ff later");
    await visitor.until("\u0000\u00ff later");
    visitor.socket.end("bye");
    expect(await visitor.untilClosed()).toMatch(/bye$/u);
    expect(await world.record()).toMatchObject({ status: 101, bytesIn: 16, bytesOut: 16 });
  });

  it("delivers what the app sends in the packet of its 101", async () => {
    await using world = await startIngress();
    world.app = ({ stream }) => {
      stream.sendHead(SWITCH);
      stream.write(Buffer.from("first"));
    };
    const visitor = await world.visit(upgrade());
    expect(await visitor.until("first")).toMatch(/\r\n\r\nfirst$/u);
  });

  it("lets the app close its half first", async () => {
    await using world = await startIngress();
    world.app = (exchange) => {
      exchange.stream.sendHead(SWITCH);
      exchange.stream.end(Buffer.from("over"));
    };
    const visitor = await world.visit(upgrade("foo"), { allowHalfOpen: true });
    expect(await visitor.untilEnded()).toMatch(/over$/u);
    visitor.socket.end("still");
    const exchange = await world.exchange(0);
    expect((await exchange.untilEnded()).toString()).toBe("still");
    await visitor.untilClosed();
  });

  it("moves much data both ways without loss", async () => {
    await using world = await startIngress();
    world.app = echo;
    const visitor = await world.visit(upgrade(), { allowHalfOpen: true });
    await visitor.until("\r\n\r\n");
    visitor.isCounting = true;
    const head = visitor.bytes;
    const total = 20 * 1_048_576;
    for (let sent = 0; sent < total; sent += 1_048_576) visitor.send(Buffer.alloc(1_048_576, 7));
    await visitor.untilBytes(head + total);
    visitor.socket.end();
    await visitor.untilClosed();
    expect(visitor.bytes).toBe(head + total);
  });

  it("waits for a visitor who does not read", async () => {
    await using world = await startIngress();
    world.app = ({ stream }) => stream.sendHead(SWITCH);
    const visitor = await world.visit(upgrade());
    await visitor.until("\r\n\r\n");
    visitor.isCounting = true;
    visitor.socket.pause();
    const { stream } = await world.exchange(0);
    for (let i = 0; i < 64; i += 1) stream.write(Buffer.alloc(1_048_576));
    for (let turn = 0; turn < 500; turn += 1) await new Promise<void>((resolve) => setImmediate(resolve));
    expect(stream.bytesOut).toBeLessThan(32 * 1_048_576);
    visitor.socket.resume();
    await visitor.untilBytes(64 * 1_048_576);
  });

  it("holds early bytes of any number back until the app agrees", async () => {
    await using world = await startIngress();
    world.app = () => {};
    const visitor = await world.visit(upgrade());
    const exchange = await world.exchange(0);
    visitor.send(Buffer.alloc(30 * 1_048_576, 1));
    for (let turn = 0; turn < 300; turn += 1) await new Promise<void>((resolve) => setImmediate(resolve));
    expect(visitor.socket.writableLength).toBeGreaterThan(10 * 1_048_576);
    expect(exchange.bytes).toBe(0);
    exchange.stream.sendHead(SWITCH);
    await exchange.signal.until("all bytes", () => exchange.bytes === 30 * 1_048_576);
  });

  it("may be answered like any request, with a body", async () => {
    await using world = await startIngress();
    world.app = (exchange) => exchange.answer(403, ["X-Why", "\u00e9"], "not you");
    const visitor = await world.visit(`${upgrade()}early`);
    expect(await visitor.untilClosed()).toBe(
      "HTTP/1.1 403 OK\r\nX-Why: \u00e9\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nnot you\r\n0\r\n\r\n",
    );
    expect(visitor.error).toBeUndefined();
    expect(await world.record()).toMatchObject({ status: 403, bytesOut: 7 });
  });

  it("passes interim heads on", async () => {
    await using world = await startIngress();
    world.app = (exchange) => {
      exchange.stream.sendHead({ status: 103, reason: "Early Hints", fields: ["Link", "x"] });
      echo(exchange);
    };
    const visitor = await world.visit(upgrade());
    expect(await visitor.until("101")).toMatch(/^HTTP\/1\.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP\/1\.1 101 /u);
  });

  it.each([
    [ResetCode.UpstreamRefused, "502", "UPSTREAM_REFUSED"],
    [ResetCode.UpstreamTimeout, "504", "UPSTREAM_TIMEOUT"],
  ])("that the app cannot take is an answer of the relay: %i", async (code, status, name) => {
    await using world = await startIngress();
    world.app = ({ stream }) => stream.reset(code);
    const visitor = await world.visit(upgrade("websocket", "Accept: application/json\r\n"));
    expect(await visitor.untilClosed()).toMatch(
      new RegExp(`^HTTP/1.1 ${status} [\\s\\S]*ggrok-error: ERR_GGROK_${name}[\\s\\S]*"code"`, "u"),
    );
    expect(await world.record()).toMatchObject({ status: Number(status) });
  });

  it("to nowhere is 404", async () => {
    await using world = await startIngress();
    const visitor = await world.visit(upgrade().replace("a.test", "b.test"));
    expect(await visitor.untilClosed()).toMatch(/^HTTP\/1\.1 404 /u);
  });

  it("breaks when the stream breaks", async () => {
    await using world = await startIngress();
    world.app = ({ stream }) => stream.sendHead(SWITCH);
    const visitor = await world.visit(upgrade());
    await visitor.until("\r\n\r\n");
    (await world.exchange(0)).stream.reset(ResetCode.UpstreamReset);
    await visitor.untilClosed();
    expect(visitor.error?.code).toBe("ECONNRESET");
  });

  it.each(["before", "after"])("tells the app of a visitor who leaves %s the app agreed", async (when) => {
    await using world = await startIngress();
    world.app = when === "after" ? ({ stream }) => stream.sendHead(SWITCH) : () => {};
    const visitor = await world.visit(upgrade());
    const exchange = await world.exchange(0);
    if (when === "after") {
      await visitor.until("\r\n\r\n");
      visitor.socket.resetAndDestroy();
    } else {
      visitor.socket.end();
    }
    expect((await exchange.untilReset()).code).toBe(ResetCode.VisitorLeft);
  });

  it("is sent again when its session breaks before the answer", async () => {
    await using world = await startIngress({ agents: 0 });
    const agent = world.addAgent();
    world.app = () => {};
    const visitor = await world.visit(`${upgrade()}early`);
    await world.exchange(0);
    world.app = echo;
    world.addAgent();
    agent.lose();
    expect(await visitor.until("early")).toMatch(/^HTTP\/1\.1 101 /u);
  });

  it("waits for an agent that is away", async () => {
    await using world = await startIngress({ agents: 0 });
    world.app = echo;
    const visitor = await world.visit(upgrade());
    await world.signal.until("a parked request", () => world.parked === 1);
    world.addAgent();
    await visitor.until("101");
  });
});

describe("an upgrade that is not for the app", () => {
  it.each([
    ["HTTP/2", upgrade("h2c", "HTTP2-Settings: AAMAAABk\r\nConnection: HTTP2-Settings\r\n")],
    ["one of several to HTTP/2", upgrade("websocket, h2c")],
    ["a request with a length", `${upgrade("websocket", "Content-Length: 4\r\n")}body`],
    ["a chunked request", `${upgrade("websocket", "Transfer-Encoding: chunked\r\n")}4\r\nbody\r\n0\r\n\r\n`],
    ["HTTP/1.0", upgrade().replace("HTTP/1.1", "HTTP/1.0")],
  ])("is an ordinary request: %s", async (_what, text) => {
    await using world = await startIngress();
    world.app = (exchange) =>
      void exchange.untilEnded().then((body) => exchange.answer(200, [], `got ${body.toString()}.`));
    const visitor = await world.visit(text);
    expect(await visitor.until(/got (?:body)?\./u)).toMatch(/^HTTP\/1\.1 200 /u);
    const exchange = await world.exchange(0);
    expect(exchange.head.kind).toBe("http");
    expect(exchange.field("upgrade")).toBeUndefined();
    expect(exchange.field("http2-settings")).toBeUndefined();
  });
});
