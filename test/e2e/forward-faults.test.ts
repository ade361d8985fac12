import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, createServer } from "node:net";
import { ResetCode } from "@ggrok/protocol";
import { describe, expect, it } from "vitest";
import { ForwardWorld, startApp, startRawApp, within } from "./forward-world.ts";

const FULL = ["Host", "h", "Keep-Alive", "x"];

/** A port nobody listens on, outside the range that port 0 is served from: no other test gets it in the meantime. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const server = createServer().listen(port, "::");
    const [isFree] = await Promise.race([
      once(server, "listening").then(() => [true]),
      new Promise<[boolean]>((resolve) => server.once("error", () => resolve([false]))),
    ]);
    if (isFree !== true) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}

describe.each([
  ["fast", ["Host", "h"]],
  ["full", FULL],
])("when the app fails, the %s path", (_name, fields) => {
  it("says at once that nothing listens", async () => {
    await using world = new ForwardWorld(await freePort());
    const visit = world.open({ fields });
    expect((await visit.failed()).code).toBe(ResetCode.UpstreamRefused);
    expect(visit.stream.dispatched).toBe(false);
    expect(world.events[1]).toMatchObject({ phase: "end", error: "ERR_GGROK_UPSTREAM_REFUSED" });
  });

  it.each([
    ["closes before the head", "", ResetCode.UpstreamReset],
    ["closes inside the head", "HTTP/1.1 200 OK\r\nX-A: b\r\n", ResetCode.UpstreamReset],
    ["answers garbage", "SSH-2.0-OpenSSH_9.2\r\n", ResetCode.UpstreamMalformed],
    ["answers garbage in a field", "HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n", ResetCode.UpstreamMalformed],
    [
      "answers with a head too large",
      `HTTP/1.1 200 OK\r\nX: ${"x".repeat(200_000)}\r\n\r\n`,
      ResetCode.UpstreamMalformed,
    ],
    [
      "switches protocols unasked",
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nabc",
      ResetCode.UpstreamMalformed,
    ],
  ])("gives no answer when it %s", async (_what, answer, code) => {
    await using app = await startRawApp(async (socket, received) => {
      await received.until("\r\n\r\n");
      socket.end(answer);
    });
    await using world = new ForwardWorld(app.port);
    const visit = world.open({ fields });
    expect((await visit.failed()).code).toBe(code);
    expect(visit.final).toBeUndefined();
    expect(visit.stream.dispatched).toBe(true);
    expect(world.forwarder.openExchanges).toBe(0);
  });

  it.each([
    ["a length", "Content-Length: 3\r\n\r\nabc"],
    ["chunks", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"],
    ["its end alone", "Connection: close\r\n\r\nabc"],
  ])(
    "keeps an answer with %s whole when the connection ends behind it and the visitor is slow",
    async (_what, answer) => {
      await using app = await startRawApp(async (socket, received) => {
        await received.until("\r\n\r\n");
        socket.end(`HTTP/1.1 200 OK\r\n${answer}`);
      });
      await using world = new ForwardWorld(app.port);
      const visit = world.open({ fields });
      visit.stream.isStalled = true;
      await visit.until(() => visit.body.length === 3);
      // The end of chunks waits to be read, and with it the end of the connection.
      if (!answer.includes("chunked")) {
        await within(once([...app.sockets][0] ?? app.server, "close"), "the end of the connection");
      }
      visit.stream.drain();
      expect((await visit.ended()).body.toString()).toBe("abc");
    },
  );

  it.each([
    ["a length", "Content-Length: 10\r\n\r\nabc", "end"],
    ["a length", "Content-Length: 10\r\n\r\nabc", "reset"],
    ["chunks", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "end"],
    ["chunks", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "reset"],
    ["neither", "\r\nabc", "reset"],
    ["neither, announced", "Connection: close\r\n\r\nabc", "reset"],
  ])("breaks a body with %s (%#) when the connection ends early", async (_what, answer, how) => {
    await using app = await startRawApp(async (socket, received) => {
      await received.until("\r\n\r\n");
      socket.write(`HTTP/1.1 200 OK\r\n${answer}`);
      await visit.until(() => visit.body.length === 3);
      if (how === "end") socket.end();
      else socket.resetAndDestroy();
    });
    await using world = new ForwardWorld(app.port);
    const visit = world.open({ fields });
    expect((await visit.failed()).code).toBe(ResetCode.UpstreamReset);
    expect(visit.isEnded).toBe(false);
  });

  it("breaks a body with garbage where a chunk should be", async () => {
    await using app = await startRawApp(async (socket, received) => {
      await received.until("\r\n\r\n");
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
      await visit.until(() => visit.body.length === 3);
      socket.write("zzz\r\n");
    });
    await using world = new ForwardWorld(app.port);
    const visit = world.open({ fields });
    expect((await visit.failed()).code).toBe(ResetCode.UpstreamMalformed);
  });

  it("takes a body that ends with its connection as whole", async () => {
    await using app = await startRawApp(async (socket, received) => {
      await received.until("\r\n\r\n");
      socket.end("HTTP/1.0 200 OK\r\n\r\nabc");
    });
    await using world = new ForwardWorld(app.port);
    expect((await world.open({ fields }).ended()).body.toString()).toBe("abc");
  });

  it("tells the app at once that the visitor has left", async () => {
    for (const hasHead of [false, true]) {
      const gone = Promise.withResolvers<void>();
      await using app = await startApp((_request, response) => {
        response.on("close", () => gone.resolve());
        if (hasHead) response.write("abc");
      });
      await using world = new ForwardWorld(app.port);
      const visit = world.open({ fields });
      if (hasHead) await visit.until(() => visit.body.length === 3);
      else await within(once(app.server, "request"), "the request");
      visit.leave();
      await within(gone.promise, "the app's close");
      expect(world.events[1]).toMatchObject({ phase: "end" });
      expect(world.forwarder.openExchanges).toBe(0);
    }
  });

  it("cuts an app that is silent for longer than the tunnel's timeout, before the head and in the body", async () => {
    await using app = await startApp((request, response) => {
      if (request.url === "/body") response.write("abc");
    });
    await using world = new ForwardWorld(app.port, { timeoutMs: 100 });
    expect((await world.open({ fields }).failed()).code).toBe(ResetCode.UpstreamTimeout);
    const visit = world.open({ target: "/body", fields });
    expect((await visit.failed()).code).toBe(ResetCode.UpstreamTimeout);
    expect(visit.body.toString()).toBe("abc");
    expect(world.events.at(-1)).toMatchObject({ error: "ERR_GGROK_UPSTREAM_TIMEOUT" });
  });

  it("does not count an app that keeps talking, or a visitor who does not read", async () => {
    const finished: (() => void)[] = [];
    await using app = await startApp((_request, response) => {
      let round = 0;
      const timer = setInterval(() => {
        if (++round <= 8) return void response.write("x".repeat(100_000));
        clearInterval(timer);
        response.end("end");
        finished.shift()?.();
      }, 50);
    });
    await using world = new ForwardWorld(app.port, { timeoutMs: 200 });
    const visit = world.open({ fields });
    expect((await visit.ended()).body.length).toBe(800_003);

    const slow = world.open({ fields });
    slow.stream.isStalled = true;
    await within(new Promise<void>((resolve) => finished.push(resolve)), "the app's last word");
    expect(slow.reset).toBeUndefined();
    slow.stream.drain();
    expect((await slow.ended()).body.length).toBe(800_003);
  });
});

describe("a kept connection that the app closes at the moment of reuse", () => {
  async function closingApp(closeSecond: (socket: import("node:net").Socket) => void) {
    const requests: string[] = [];
    let connections = 0;
    const app = await startRawApp((socket, received) => {
      const isFirst = ++connections === 1;
      void (async () => {
        for (let count = 1; ; count++) {
          await received.until("\r\n\r\n", count);
          requests.push(received.text.split("\r\n\r\n").at(-2)?.split(" ")[0]?.trim() ?? "");
          if (isFirst && count === 2) return closeSecond(socket);
          socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
      })();
    });
    return { app, requests, connections: () => connections };
  }

  it.each([
    ["GET", ["Host", "h"]],
    ["DELETE", ["Host", "h"]],
    ["GET", FULL],
    ["OPTIONS", FULL],
  ])("costs a %s nothing (%#)", async (method, fields) => {
    const { app, requests, connections } = await closingApp((socket) => socket.destroy());
    await using _app = app;
    await using world = new ForwardWorld(app.port);
    await world.open({ fields }).ended();
    await new Promise(setImmediate);
    expect((await world.open({ method, fields }).ended()).body.toString()).toBe("ok");
    expect(requests).toEqual(["GET", method, method]);
    expect(connections()).toBe(2);
  });

  it.each([
    ["POST", ["Host", "h", "Content-Length", "0"]],
    ["PURGE", ["Host", "h"]],
    ["PURGE", FULL],
  ])("does not send a %s twice (%#)", async (method, fields) => {
    const { app, requests } = await closingApp((socket) => socket.destroy());
    await using _app = app;
    await using world = new ForwardWorld(app.port);
    // A connection of the same kind as the second request takes.
    await world.open({ fields: method === "PURGE" && fields !== FULL ? ["Host", "h"] : FULL }).ended();
    await new Promise(setImmediate);
    expect((await world.open({ method, fields }).failed()).code).toBe(ResetCode.UpstreamReset);
    expect(requests.slice(1)).toEqual([method]);
  });

  it("is not tried again once a byte of the answer has come", async () => {
    const { app, requests } = await closingApp((socket) => socket.end("HTTP/1.1 2"));
    await using _app = app;
    await using world = new ForwardWorld(app.port);
    await world.open({}).ended();
    await new Promise(setImmediate);
    expect((await world.open({}).failed()).code).toBe(ResetCode.UpstreamReset);
    expect(requests).toHaveLength(2);
  });
});

it("does not try again on a fresh connection", async () => {
  for (const fields of [["Host", "h"], FULL]) {
    let requests = 0;
    await using app = await startRawApp(async (socket, received) => {
      await received.until("\r\n\r\n");
      requests++;
      socket.destroy();
    });
    await using world = new ForwardWorld(app.port);
    expect((await world.open({ fields }).failed()).code).toBe(ResetCode.UpstreamReset);
    expect(requests).toBe(1);
  }
});

it("works again as soon as the app is back", async () => {
  const port = await freePort();
  await using world = new ForwardWorld(port);
  expect((await world.open({}).failed()).code).toBe(ResetCode.UpstreamRefused);
  const server = createServer((socket) => {
    socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nback"));
  }).listen(port, "127.0.0.1");
  await once(server, "listening");
  for (const fields of [["Host", "h"], FULL]) {
    expect((await world.open({ fields }).ended()).body.toString()).toBe("back");
  }
  server.close();
});

describe("localhost", () => {
  it.each(["127.0.0.1", "::1"])("reaches an app that listens on %s alone, by each way", async (host) => {
    await using app = await startApp((request, response) => response.end(request.headers.host), host);
    for (const target of [String(app.port), `http://localhost:${app.port}`, `dev.localhost:${app.port}`]) {
      await using world = new ForwardWorld(target);
      for (const fields of [
        ["Host", "demo.test"],
        ["Host", "demo.test", "Keep-Alive", "x"],
      ]) {
        expect((await world.open({ fields }).ended()).body.toString()).toBe("demo.test");
      }
    }
  });

  it("follows an app that moves to the other family", async () => {
    const port = await freePort();
    await using world = new ForwardWorld(port);
    for (const host of ["127.0.0.1", "::1", "127.0.0.1"]) {
      const server = createServer((socket) => {
        socket.on("data", () =>
          socket.end(`HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ${host.length}\r\n\r\n${host}`),
        );
      }).listen(port, host);
      await once(server, "listening");
      expect((await world.open({}).ended()).body.toString()).toBe(host);
      server.close();
      await once(server, "close");
    }
  });
});

describe("an https target", () => {
  const key = readFileSync(new URL("fixtures/upstream-key.pem", import.meta.url));
  const cert = readFileSync(new URL("fixtures/upstream-cert.pem", import.meta.url));

  async function startTlsApp() {
    const server = createHttpsServer({ key, cert }, (request, response) => request.pipe(response)).listen(
      0,
      "127.0.0.1",
    );
    await once(server, "listening");
    return {
      port: (server.address() as AddressInfo).port,
      async [Symbol.asyncDispose]() {
        server.closeAllConnections();
        server.close();
        await once(server, "close");
      },
    };
  }

  it("on this machine needs no certificate the world trusts", async () => {
    await using app = await startTlsApp();
    await using world = new ForwardWorld(`https://localhost:${app.port}`);
    expect((await world.open({}).ended()).status).toBe(200);
    expect((await world.open({ method: "POST", body: "abc" }).ended()).body.toString()).toBe("abc");
  });

  it("elsewhere must show one, and its name must fit", async () => {
    await using app = await startTlsApp();
    for (const [tls, isGood] of [
      [{ verify: true }, false],
      [{ verify: true, ca: [cert.toString()] }, true],
    ] as const) {
      for (const fields of [["Host", "h"], FULL]) {
        await using world = new ForwardWorld(`https://127.0.0.1:${app.port}`, { tls });
        const visit = world.open({ fields });
        if (isGood) expect((await visit.ended()).status).toBe(200);
        else expect((await visit.failed()).code).toBe(ResetCode.UpstreamTls);
      }
    }
    await using other = new ForwardWorld(`https://127.0.0.2:${app.port}`, {
      tls: { verify: true, ca: [cert.toString()] },
    });
    expect((await other.open({}).failed()).code).toBe(ResetCode.UpstreamRefused);
  });

  it("that speaks no TLS is told apart", async () => {
    await using app = await startApp((_request, response) => response.end());
    for (const fields of [["Host", "h"], FULL]) {
      await using world = new ForwardWorld(`https://localhost:${app.port}`);
      expect((await world.open({ fields }).failed()).code).toBe(ResetCode.UpstreamTls);
    }
  });
});

describe("closing", () => {
  it("lets open exchanges end and then leaves no connection", async () => {
    const waiting: import("node:http").ServerResponse[] = [];
    await using app = await startApp((request, response) => {
      if (request.url === "/wait") waiting.push(response);
      else response.end("ok");
    });
    await using world = new ForwardWorld(app.port);
    await world.open({}).ended();
    await world.open({ fields: FULL }).ended();
    const visit = world.open({ target: "/wait" });
    await within(once(app.server, "request"), "the request");
    let isClosed = false;
    const closed = world.forwarder.close().then(() => {
      isClosed = true;
    });
    await new Promise(setImmediate);
    expect(isClosed).toBe(false);
    waiting[0]?.end("done");
    expect((await visit.ended()).body.toString()).toBe("done");
    await within(closed, "close");
    for (const socket of app.sockets) await within(once(socket, "close"), "the connection's end");
    expect(app.sockets.size).toBe(0);
  });

  it("at once cuts what is open", async () => {
    await using app = await startApp((_request, response) => response.write("abc"));
    await using world = new ForwardWorld(app.port);
    const visits = [world.open({}), world.open({ fields: FULL })];
    for (const visit of visits) await visit.until(() => visit.body.length > 0);
    world.forwarder.destroy();
    for (const visit of visits) expect((await visit.failed()).code).toBe(ResetCode.Draining);
    for (const socket of [...app.sockets])
      if (!socket.closed) await within(once(socket, "close"), "the connection's end");
  });
});

describe("more exchanges than the app may have open", () => {
  const waiting: ServerResponse[] = [];
  const start = () =>
    startApp((request, response) => {
      if (request.url === "/hold") waiting.push(response);
      else request.pipe(response);
    });

  it("wait for their turn with what has come of them, and beyond that go elsewhere", async () => {
    await using app = await start();
    await using world = new ForwardWorld(app.port, { openExchangesMax: 1, waitingExchangesMax: 2 });
    const first = world.open({ target: "/hold" });
    const second = world.open({ method: "POST", isOpen: true });
    second.write("abc");
    second.end("def");
    const third = world.open({ method: "POST", isOpen: true });
    third.write("ghi");
    third.sendTrailers(["X-A", "b"]);
    const fourth = world.open({});
    expect(await fourth.failed()).toMatchObject({ code: ResetCode.Overload, notProcessed: true });
    expect(second.stream.dispatched).toBe(false);
    expect(world.forwarder.openExchanges).toBe(3);
    await within(once(app.server, "request"), "the first request");
    waiting.shift()?.end("done");
    expect((await first.ended()).body.toString()).toBe("done");
    expect((await second.ended()).body.toString()).toBe("abcdef");
    expect((await third.ended()).body.toString()).toBe("ghi");
  });

  it("leave the queue with their visitor, and when the agent stops", async () => {
    await using app = await start();
    await using world = new ForwardWorld(app.port, { openExchangesMax: 1 });
    world.open({ target: "/hold" });
    const left = world.open({});
    const stopped = world.open({});
    left.leave();
    expect(world.forwarder.openExchanges).toBe(2);
    world.forwarder.destroy();
    expect(await stopped.failed()).toMatchObject({ code: ResetCode.Draining, notProcessed: true });
    await within(world.forwarder.close(), "close");
    expect(await world.open({}).failed()).toMatchObject({ code: ResetCode.Draining, notProcessed: true });
  });
});

it("reuses its connections: 200 requests in turn take one of each kind", async () => {
  let connections = 0;
  await using app = await startApp((request, response) => request.pipe(response));
  app.server.on("connection", () => connections++);
  await using world = new ForwardWorld(app.port);
  for (let i = 0; i < 100; i++) {
    await world.open({}).ended();
    await world.open({ method: "POST", body: "x" }).ended();
  }
  expect(connections).toBe(2);
});

it("keeps 300 exchanges at once apart", async () => {
  await using app = await startApp((request, response) => {
    const chunks: Buffer[] = [];
    request
      .on("data", (chunk) => chunks.push(chunk))
      .on("end", () => response.end(`${request.url} ${Buffer.concat(chunks)}`));
  });
  await using world = new ForwardWorld(app.port);
  const visits = Array.from({ length: 300 }, (_, i) =>
    world.open({ target: `/${i}`, ...(i % 2 === 0 && { method: "POST", body: `body ${i}` }) }),
  );
  for (const [i, visit] of visits.entries()) {
    expect((await visit.ended()).body.toString()).toBe(`/${i} ${i % 2 === 0 ? `body ${i}` : ""}`);
  }
});
