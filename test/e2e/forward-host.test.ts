import type { IncomingMessage, RequestListener } from "node:http";
import { describe, expect, it } from "vitest";
import { parseHostHeader } from "../../packages/client/src/forward/host-header.ts";
import { ForwardWorld, startApp, startRawApp, within } from "./forward-world.ts";

const HOST = "demo.test";
const FIELDS = ["Host", HOST, "X-Forwarded-Proto", "https", "X-Forwarded-Host", HOST];
const VITE = 'Blocked request. This host ("demo.test") is not allowed.';

/** An app like a dev server's: it refuses every host but its own. */
async function startPicky(o: { refusal?: (request: IncomingMessage) => string; status?: number } = {}) {
  const seen: { method: string; url: string; host: string; forwardedHost: string; origin: string }[] = [];
  const listener: RequestListener = (request, response) => {
    const { host = "", origin = "" } = request.headers;
    const forwardedHost = String(request.headers["x-forwarded-host"] ?? "");
    seen.push({ method: request.method ?? "", url: request.url ?? "", host, origin, forwardedHost });
    request.resume().on("end", () => {
      if (!host.startsWith("localhost")) response.writeHead(o.status ?? 403).end(o.refusal?.(request) ?? VITE);
      else response.end("welcome");
    });
  };
  return { app: await startApp(listener), seen };
}

describe("auto", () => {
  it("asks once more under the local host, stays with it, and says so in one line", async () => {
    const { app, seen } = await startPicky();
    await using _ = app;
    const notices: string[] = [];
    await using world = new ForwardWorld(app.port, { onNotice: (text) => notices.push(text) });
    const local = `localhost:${app.port}`;
    for (const target of ["/a", "/b"]) {
      const visit = world.open({ target, fields: FIELDS });
      expect(await visit.ended()).toMatchObject({ status: 200, body: Buffer.from("welcome") });
    }
    const post = world.open({ method: "POST", body: "x", fields: [...FIELDS, "Content-Length", "1"] });
    expect((await post.ended()).status).toBe(200);
    expect(seen.map(({ method, url, host }) => [method, url, host])).toEqual([
      ["GET", "/a", HOST],
      ["GET", "/a", local],
      ["GET", "/b", local],
      ["POST", "/", local],
    ]);
    expect(seen.every(({ forwardedHost }) => forwardedHost === HOST)).toBe(true);
    expect(notices).toEqual([
      `Host header: rewritten to ${local} (Vite refuses other hosts). Keep it as it is: --host-header=preserve`,
    ]);
    expect(world.events.filter(({ phase }) => phase === "end").map(({ status }) => status)).toEqual([200, 200, 200]);
  });

  it("finds out by a GET why a HEAD was refused", async () => {
    const { app, seen } = await startPicky();
    await using _ = app;
    await using world = new ForwardWorld(app.port);
    expect((await world.open({ method: "HEAD", fields: FIELDS }).ended()).status).toBe(200);
    expect(seen.map(({ method }) => method)).toEqual(["HEAD", "GET", "HEAD"]);
  });

  it("passes a HEAD's refusal on when it is the app's own", async () => {
    const { app, seen } = await startPicky({ refusal: () => "not for you" });
    await using _ = app;
    await using world = new ForwardWorld(app.port);
    expect((await world.open({ method: "HEAD", fields: FIELDS }).ended()).status).toBe(403);
    expect(seen.every(({ host }) => host === HOST)).toBe(true);
  });

  it("never repeats other methods or bodies", async () => {
    const { app, seen } = await startPicky();
    await using _ = app;
    await using world = new ForwardWorld(app.port);
    const bodies = [
      world.open({ method: "POST", body: "x", fields: [...FIELDS, "Content-Length", "1"] }),
      world.open({ method: "DELETE", fields: FIELDS }),
      world.open({ method: "OPTIONS", fields: FIELDS }),
      world.open({ method: "GET", body: "x", fields: [...FIELDS, "Content-Length", "1"] }),
    ];
    for (const visit of bodies) expect(await visit.ended()).toMatchObject({ status: 403, body: Buffer.from(VITE) });
    expect(seen).toHaveLength(4);
  });

  it("leaves X-Forwarded-Host out for Rails, and tells a foreign Origin as it is", async () => {
    const { app, seen } = await startPicky({ refusal: () => "<h1>Blocked hosts: demo.test</h1>" });
    await using _ = app;
    await using world = new ForwardWorld(app.port);
    await world.open({ fields: [...FIELDS, "Origin", "https://evil.test"] }).ended();
    await world.open({ fields: [...FIELDS, "Origin", "https://demo.test"] }).ended();
    expect(seen.slice(1).map(({ forwardedHost, origin }) => [forwardedHost, origin])).toEqual([
      ["", "https://evil.test"],
      ["", `http://localhost:${app.port}`],
    ]);
  });

  it("passes every other 403 on, byte for byte, whatever its size", async () => {
    const body = "x".repeat(300_000);
    const { app, seen } = await startPicky({ refusal: () => body });
    await using _ = app;
    await using world = new ForwardWorld(app.port);
    const answer = await world.open({ fields: FIELDS }).ended();
    expect(answer.status).toBe(403);
    expect(answer.body.equals(Buffer.from(body))).toBe(true);
    expect(seen).toHaveLength(1);
    expect(world.events.at(-1)).toMatchObject({ status: 403, bytesOut: 300_000 });
  });

  it("gives up after one try when the local host is refused as well", async () => {
    const seen: string[] = [];
    await using app = await startApp((request, response) => {
      seen.push(request.headers.host ?? "");
      response.writeHead(403).end(VITE);
    });
    const notices: string[] = [];
    await using world = new ForwardWorld(app.port, { onNotice: (text) => notices.push(text) });
    for (let i = 0; i < 3; i++) expect((await world.open({ fields: FIELDS }).ended()).status).toBe(403);
    expect(seen).toEqual([HOST, `localhost:${app.port}`, HOST, HOST]);
    expect(notices).toEqual([]);
  });

  it.each(["HTTP/1.1 403 Forbidden\r\nContent-Length: 12\r\n\r\nUnauthorized", "Unauthorized"])(
    "repeats a hot-reload socket that Next refused with %j",
    async (refusal) => {
      const seen: string[] = [];
      await using app = await startRawApp(async (socket, received) => {
        const head = await received.until("\r\n\r\n");
        seen.push(/^origin: (.*)$/im.exec(head)?.[1] ?? "");
        const isOwn = /^origin: http:\/\/localhost:/im.test(head);
        socket.write(
          isOwn
            ? "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello"
            : refusal,
        );
      });
      const notices: string[] = [];
      await using world = new ForwardWorld(app.port, { onNotice: (text) => notices.push(text) });
      const visit = world.open({
        kind: "upgrade",
        target: "/_next/webpack-hmr?id=1",
        fields: [...FIELDS, "Origin", "https://demo.test", "Connection", "Upgrade", "Upgrade", "websocket"],
        isOpen: true,
      });
      await visit.until(() => visit.body.toString() === "hello");
      expect(visit.final?.status).toBe(101);
      expect(seen).toEqual(["https://demo.test", `http://localhost:${app.port}`]);
      expect(notices).toHaveLength(1);
    },
  );

  it("ends in good order when the visitor leaves while an answer is kept back", async () => {
    const asked = Promise.withResolvers<void>();
    const gone = Promise.withResolvers<void>();
    await using app = await startApp((_request, response) => {
      response.on("close", () => gone.resolve());
      response.writeHead(403).write("Blocked", () => asked.resolve());
    });
    await using world = new ForwardWorld(app.port);
    const visit = world.open({ fields: FIELDS });
    await within(asked.promise, "the app to answer");
    visit.leave();
    expect(world.forwarder.openExchanges).toBe(0);
    await within(gone.promise, "the app to hear of it");
    expect(visit.heads).toEqual([]);
  });
});

it("preserve passes the refusal on, and asks once", async () => {
  const { app, seen } = await startPicky();
  await using _ = app;
  await using world = new ForwardWorld(app.port, { hostHeader: parseHostHeader("preserve") });
  expect(await world.open({ fields: FIELDS }).ended()).toMatchObject({ status: 403, body: Buffer.from(VITE) });
  expect(seen).toHaveLength(1);
});

it.each([
  ["rewrite", (port: number) => `localhost:${port}`],
  ["app.internal:81", () => "app.internal:81"],
])("%s changes Host from the start, and Location and cookies back", async (mode, hostOf) => {
  const seen: string[] = [];
  await using app = await startApp((request, response) => {
    seen.push(request.headers.host ?? "");
    response.writeHead(302, {
      location: `http://${request.headers.host}/next`,
      "set-cookie": ["a=1; Domain=localhost", "b=2; Domain=app.internal", "c=3"],
    });
    response.end();
  });
  await using world = new ForwardWorld(app.port, { hostHeader: parseHostHeader(mode) });
  const visit = world.open({ fields: FIELDS });
  await visit.ended();
  expect(seen).toEqual([hostOf(app.port)]);
  const fields = visit.final?.fields ?? [];
  const values = (name: string) => fields.filter((_, i) => i % 2 === 1 && fields[i - 1]?.toLowerCase() === name);
  expect(values("location")).toEqual(["https://demo.test/next"]);
  expect(values("set-cookie")).toContain(`${mode === "rewrite" ? "a=1" : "b=2"}; Domain=demo.test`);
  expect(values("set-cookie")).toContain("c=3");
});

it("adds and removes fields in both directions, and no answer of the app escapes the rules", async () => {
  let seen: string[] = [];
  await using app = await startApp((request, response) => {
    seen = request.rawHeaders;
    response.writeHead(403, { "x-powered-by": "App" }).end("no");
  });
  await using world = new ForwardWorld(app.port, {
    requestRules: { remove: new Set(["x-secret"]), add: ["X-Added", "1"] },
    responseRules: { remove: new Set(["x-powered-by"]), add: ["X-Frame-Options", "DENY"] },
  });
  const visit = world.open({ fields: [...FIELDS, "X-Secret", "s"] });
  await visit.ended();
  expect(seen.join("\n")).not.toMatch(/secret/i);
  expect(seen.slice(-4)).toContain("X-Added");
  expect(visit.final?.fields.join("\n").toLowerCase()).not.toContain("x-powered-by");
  expect(visit.final?.fields.slice(-2)).toEqual(["X-Frame-Options", "DENY"]);
});
