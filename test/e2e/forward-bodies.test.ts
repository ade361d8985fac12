import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { ResetCode } from "@ggrok/protocol";
import { describe, expect, it } from "vitest";
import { ForwardWorld, startApp, startRawApp, within } from "./forward-world.ts";

const sha = (data: Buffer) => createHash("sha256").update(data).digest("hex");

/** A promise with its ends in the open. */
function deferred<T>() {
  return Promise.withResolvers<T>();
}

it("sends a body with its length as the visitor wrote it", async () => {
  let request = "";
  await using app = await startRawApp(async (socket, received) => {
    request = await received.until("hello");
    socket.write("HTTP/1.1 204 No Content\r\n\r\n");
  });
  await using world = new ForwardWorld(app.port);
  await world
    .open({ method: "POST", fields: ["Host", "demo.test", "content-LENGTH", "5", "X-A", "b"], body: "hello" })
    .ended();
  expect(request).toBe(
    "POST / HTTP/1.1\r\nHost: demo.test\r\ncontent-LENGTH: 5\r\nX-A: b\r\nConnection: keep-alive\r\n\r\nhello",
  );
});

it("sends a body of unknown length in chunks, as they come, and its trailers", async () => {
  let text = "";
  await using app = await startRawApp(async (socket, received) => {
    await received.until("\r\n3\r\nabc\r\n");
    visit.write("defgh");
    text = await received.until("5\r\ndefgh\r\n");
    visit.sendTrailers(["X-Sum", "\u00e9", "x-sum", "2"]);
    text = await received.until("0\r\nX-Sum: \u00e9\r\nx-sum: 2\r\n\r\n");
    socket.write("HTTP/1.1 204 No Content\r\n\r\n");
  });
  await using world = new ForwardWorld(app.port);
  const visit = world.open({
    method: "POST",
    fields: ["Host", "demo.test", "X-A", "b", "Trailer", "X-Sum"],
    isOpen: true,
  });
  visit.write("abc");
  await visit.ended();
  expect(text).toContain("Host: demo.test\r\nX-A: b\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n");
});

it("announces no trailers before a body that cannot have them", async () => {
  await using app = await startApp((request, response) => {
    response.end(String(request.headers["trailer"]));
  });
  await using world = new ForwardWorld(app.port);
  const fields = ["Host", "h", "Trailer", "X-Sum"];
  expect((await world.open({ fields }).ended()).body.toString()).toBe("undefined");
  const sized = world.open({ method: "POST", fields: [...fields, "Content-Length", "3"], body: "abc" });
  expect((await sized.ended()).body.toString()).toBe("undefined");
});

it("carries a body with GET", async () => {
  await using app = await startApp(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    response.end(`${request.method} ${body}`);
  });
  await using world = new ForwardWorld(app.port);
  const withLength = world.open({ fields: ["Host", "h", "Content-Length", "3"], body: "abc" });
  expect((await withLength.ended()).body.toString()).toBe("GET abc");
  const chunked = world.open({ fields: ["Host", "h"], body: "defg" });
  expect((await chunked.ended()).body.toString()).toBe("GET defg");
});

it("gives the app the head before the first byte of the body", async () => {
  const seen = deferred<IncomingMessage>();
  await using app = await startApp((request, response) => {
    seen.resolve(request);
    request.on("data", (chunk: Buffer) => response.write(chunk));
    request.on("end", () => response.end());
  });
  await using world = new ForwardWorld(app.port);
  const visit = world.open({ method: "POST", isOpen: true });
  await within(seen.promise, "the head at the app");
  for (let round = 0; round < 20; round++) {
    visit.write(`round ${round};`);
    await visit.until(() => visit.body.toString().endsWith(`round ${round};`));
  }
  visit.end();
  expect((await visit.ended()).status).toBe(200);
});

it.each([1, 1_024, 1_025, 65_536, 1_048_577])("echoes %i bytes whole", async (size) => {
  await using app = await startApp((request, response) => request.pipe(response));
  await using world = new ForwardWorld(app.port);
  const body = randomBytes(size);
  const visit = world.open({ method: "POST", fields: ["Host", "h", "Content-Length", String(size)], body });
  expect(sha((await visit.ended()).body)).toBe(sha(body));
});

it("counts the bytes of both directions and tells of start and end", async () => {
  await using app = await startApp((request, response) => {
    request.resume().on("end", () => response.writeHead(201).end("12345678"));
  });
  await using world = new ForwardWorld(app.port);
  const visit = world.open({ method: "POST", target: "/a?b", body: "abc" });
  expect(world.events).toEqual([
    { phase: "start", id: "r1", tunnel: "demo", method: "POST", path: "/a?b", client: "192.0.2.7" },
  ]);
  await visit.ended();
  expect(world.events[1]).toEqual({
    phase: "end",
    id: "r1",
    tunnel: "demo",
    method: "POST",
    path: "/a?b",
    client: "192.0.2.7",
    status: 201,
    durationMs: expect.any(Number),
    bytesIn: 3,
    bytesOut: 8,
  });
  expect(world.events).toHaveLength(2);
});

describe("Expect: 100-continue", () => {
  it("is decided by the app", async () => {
    await using app = await startApp(() => {});
    app.server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
      if (request.url === "/no") {
        response.writeHead(413, { connection: "close" }).end("too large");
        return;
      }
      response.writeContinue();
      request.pipe(response);
    });
    await using world = new ForwardWorld(app.port);
    const fields = ["Host", "h", "Expect", "100-continue", "Content-Length", "3"];
    const accepted = world.open({ method: "PUT", fields, isOpen: true });
    await accepted.until(() => accepted.heads.length > 0);
    expect(accepted.heads).toEqual([{ status: 100, reason: "Continue", fields: [] }]);
    accepted.end("abc");
    expect((await accepted.ended()).body.toString()).toBe("abc");

    const refused = world.open({ method: "PUT", target: "/no", fields, isOpen: true });
    expect((await refused.ended()).body.toString()).toBe("too large");
    expect(refused.heads.map((head) => head.status)).toEqual([413]);
    expect(refused.stream.isClosed).toBe(true);
  });
});

describe("an answer before the end of the upload", () => {
  it("arrives whole, and the rest of the upload is not wanted", async () => {
    await using app = await startApp((_request, response) =>
      response.writeHead(401, { "content-length": "6" }).end("go off"),
    );
    await using world = new ForwardWorld(app.port);
    const visit = world.open({ method: "POST", isOpen: true });
    visit.write(Buffer.alloc(65_536));
    expect(await visit.ended()).toMatchObject({ status: 401, body: Buffer.from("go off") });
    await visit.until(() => visit.stopSending);
    expect(visit.reset).toBeUndefined();
    expect(world.events[1]).toMatchObject({ phase: "end", status: 401 });
  });

  it("is not lost when the app closes at once with bytes unread, 50 times", async () => {
    await using app = await startRawApp((socket, received) => {
      void received.until("\r\n\r\n").then(() => {
        socket.pause();
        socket.write(`HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 20000\r\n\r\n${"x".repeat(20_000)}`);
        socket.destroySoon();
      });
    });
    await using world = new ForwardWorld(app.port);
    const chunk = Buffer.alloc(16_384);
    for (let round = 0; round < 50; round++) {
      const visit = world.open({ method: "POST", isOpen: true });
      const upload = setInterval(() => {
        for (let i = 0; i < 8 && !visit.isEnded; i++) visit.write(chunk);
      }, 0);
      const answer = await visit.ended().finally(() => clearInterval(upload));
      expect(answer).toMatchObject({ status: 413, body: { length: 20_000 } });
    }
  });
});

describe("backpressure", () => {
  it("stops reading the app while the visitor does not read, and loses nothing", async () => {
    const total = 32 * 1024 * 1024;
    let written = 0;
    await using app = await startApp(async (_request, response) => {
      const chunk = Buffer.alloc(65_536, "x");
      while (written < total) {
        written += chunk.length;
        if (!response.write(chunk)) await once(response, "drain");
      }
      response.end();
    });
    for (const full of [false, true]) {
      written = 0;
      await using world = new ForwardWorld(app.port);
      const visit = world.open({ fields: ["Host", "h", ...(full ? ["Keep-Alive", "x"] : [])] });
      visit.stream.isStalled = true;
      await visit.until(() => visit.chunks.length > 0);
      // Written stands still for 500 turns of the loop: the app waits for its drain.
      for (let still = 0, before = written; still < 500; still = before === written ? still + 1 : 0, before = written) {
        await new Promise(setImmediate);
      }
      expect(written).toBeLessThan(total / 2);
      expect(visit.body.length).toBeLessThan(512 * 1024);
      visit.stream.drain();
      expect((await visit.ended()).body.length).toBe(total);
    }
  });

  it("stops taking the upload while the app does not read, and loses nothing", async () => {
    const go = deferred<void>();
    await using app = await startApp(async (request, response) => {
      await go.promise;
      let bytes = 0;
      for await (const chunk of request) bytes += (chunk as Buffer).length;
      response.end(String(bytes));
    });
    await using world = new ForwardWorld(app.port);
    const visit = world.open({ method: "POST", isOpen: true });
    const chunk = Buffer.alloc(65_536);
    let sent = 0;
    while (visit.write(chunk)) {
      sent += chunk.length;
      expect(sent).toBeLessThan(64 * 1024 * 1024);
      await new Promise(setImmediate);
    }
    sent += chunk.length;
    go.resolve();
    await visit.until(() => !visit.stream.isPaused);
    visit.end();
    expect((await visit.ended()).body.toString()).toBe(String(sent));
  });
});

describe("a body that does not match its length", () => {
  it.each([
    ["longer", "4", "abcdef"],
    ["shorter", "9", "abc"],
    ["absent", "9", undefined],
  ])("never becomes a request of its own: %s", async (_name, length, body) => {
    let text = "";
    await using app = await startRawApp((socket) => {
      socket.on("data", (chunk) => {
        text += chunk.toString();
      });
    });
    await using world = new ForwardWorld(app.port);
    const visit = world.open({
      method: "POST",
      fields: ["Host", "h", "Content-Length", length],
      ...(body !== undefined && { body }),
    });
    expect((await visit.failed()).code).toBe(ResetCode.Protocol);
    expect(text).not.toContain("ef");
  });
});
