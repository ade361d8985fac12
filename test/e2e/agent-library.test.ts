import { createHmac } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { fileURLToPath } from "node:url";
import express from "express";
import Fastify from "fastify";
import { forward, type Listener, type RelayOptions, serve } from "ggrok";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { App, freePort, Place, RelayProcess, visit } from "./cli-world.ts";

let relay: RelayProcess;
let place: Place;
const before = { ...process.env };

beforeAll(async () => {
  relay = await RelayProcess.start();
  place = new Place();
  process.env["XDG_CONFIG_HOME"] = place.env["XDG_CONFIG_HOME"];
  process.env["XDG_STATE_HOME"] = place.env["XDG_STATE_HOME"];
});
afterAll(async () => {
  process.env = before;
  await relay[Symbol.asyncDispose]();
  await place[Symbol.asyncDispose]();
});

const options = (): RelayOptions => ({ relay: relay.origin, folder: place.cwd, retry: false });

describe("forward", () => {
  it("gives a listener with URL and typed events, and closes", async () => {
    await using app = await App.start((_req, res) => res.end("forwarded"));
    const listener = await forward({ addr: app.port, url: "library", ...options() });
    const requests: { method: string; status?: number }[] = [];
    const stop = listener.on("request", (request) => requests.push(request));
    expect(listener.url()).toBe(`http://library.localhost:${relay.port}`);
    expect((await visit(listener.url())).text).toBe("forwarded");
    stop();
    await visit(listener.url());
    expect(requests).toMatchObject([{ method: "GET", status: 200 }]);
    await listener.close();
    expect(await listener.closed).toBeUndefined();
    await relay.program.event("endpoint.released");
  });

  it("keeps two tunnels of one process apart and gives names back", async () => {
    await using app = await App.start((_req, res) => res.end("a"));
    const first = await forward({ addr: app.port, ...options() });
    const second = await forward({ addr: app.port, ...options() });
    expect(second.url()).not.toBe(first.url());
    expect(await Promise.all([visit(first.url()), visit(second.url())])).toMatchObject([{ text: "a" }, { text: "a" }]);
    const url = first.url();
    await Promise.all([first.close(), second.close()]);
    await using third = await forward({ addr: app.port, ...options() });
    expect([url, second.url()]).toContain(third.url());
  });

  it("rejects with a code where trying again cannot help", async () => {
    await expect(forward({ addr: 3000, url: "https://elsewhere.example", ...options() })).rejects.toMatchObject({
      code: "ERR_GGROK_NAME_NOT_ALLOWED",
    });
    const away = `http://localhost:${await freePort()}`;
    await expect(forward({ addr: 3000, relay: away, retry: false })).rejects.toMatchObject({
      code: "ERR_GGROK_RELAY_UNREACHABLE",
    });
    await expect(forward({ addr: "no target" })).rejects.toMatchObject({ code: "ERR_GGROK_CONFIG_INVALID" });
  });

  it("ends a waiting attempt when the signal aborts", async () => {
    const abort = new AbortController();
    const away = `http://localhost:${await freePort()}`;
    const attempt = forward({ addr: 3000, relay: away, signal: abort.signal });
    abort.abort(new Error("enough"));
    await expect(attempt).rejects.toThrow("enough");
  });
});

describe("serve", () => {
  const check = async (listener: Listener, text: string): Promise<void> => {
    try {
      expect(await visit(listener.url(), "/x?y=1", { method: "POST", body: "ping" })).toMatchObject({
        status: 200,
        text,
      });
    } finally {
      await listener.close();
    }
  };

  it("takes a fetch handler, with a body both ways", async () => {
    const listener = await serve(
      async (request: Request) => {
        const url = new URL(request.url);
        return new Response(
          `${request.method} ${url.host.split(":")[0]} ${url.pathname}${url.search} ${await request.text()}`,
        );
      },
      { url: "fetch", ...options() },
    );
    await check(listener, "POST fetch.localhost /x?y=1 ping");
  });

  it("takes an object with a fetch method and a function without parameters", async () => {
    await check(await serve({ fetch: () => new Response("object") }, { url: "object", ...options() }), "object");
    await check(await serve(() => new Response("bare"), { url: "bare", ...options() }), "bare");
  });

  it("takes a Node listener, an http.Server and an Express app", async () => {
    await check(await serve((_req, res) => res.end("listener"), { url: "listener", ...options() }), "listener");
    const server = createServer((_req, res) => res.end("server"));
    await check(await serve(server, { url: "server", ...options() }), "server");
    expect(server.listening).toBe(true);
    server.close();
    const app = express();
    app.post("/x", (_req, res) => void res.send("express"));
    await check(await serve(app, { url: "express", ...options() }), "express");
  });

  it("takes a Fastify app", async () => {
    const app = Fastify();
    app.post("/x", async () => "fastify");
    app.addContentTypeParser("*", (_request, payload, done) => {
      payload.resume();
      done(null);
    });
    await check(await serve(app, { url: "fastify", ...options() }), "fastify");
    await app.close();
  });

  it("answers 500 when a fetch handler throws, and breaks off when its body does", async () => {
    const warned = once(process, "warning");
    const broken = await serve(() => Promise.reject(new Error("inside")), { url: "throws", ...options() });
    expect((await visit(broken.url())).status).toBe(500);
    expect((await warned)[0]).toMatchObject({ message: "inside" });
    await broken.close();
    const body = new ReadableStream({
      pull(controller) {
        controller.enqueue(new TextEncoder().encode("half"));
        controller.error(new Error("no more"));
      },
    });
    const half = await serve(() => new Response(body), { url: "half", ...options() });
    const answer = visit(half.url());
    await expect(answer.then((a) => (a.status >= 500 ? Promise.reject(new Error("aborted")) : a))).rejects.toThrow(
      /abort|hang up|reset/i,
    );
    await half.close();
  });
});

describe("inspect", () => {
  it("is off unless it is asked for: no port, no file", async () => {
    await using listener = await serve(() => new Response("quiet"), { url: "quiet", ...options() });
    await visit(listener.url());
    expect(listener.inspectorUrl()).toBeUndefined();
    expect(await ran("requests")).toMatchObject({ code: 1, stderr: expect.stringContaining("nothing is recorded") });
  });

  it("records what passes, shows it at a local address, checks signatures, and leaves it for later", async () => {
    const body = '{"id":1}';
    const signature = `sha256=${createHmac("sha256", "s3cret").update(body).digest("hex")}`;
    const post = (url: string, path: string, field: string): Promise<unknown> =>
      visit(url, path, { method: "POST", body, headers: { "x-hub-signature-256": field } });
    const listener = await serve(() => new Response("seen"), {
      ...options(),
      url: "seen",
      verifyWebhook: ["github=s3cret"],
      verifyWebhookMode: "report",
      inspect: { webAddr: 0, redact: ["x-secret"] },
    });
    try {
      await post(listener.url(), "/good", signature);
      await post(listener.url(), "/bad", "sha256=00");
      await visit(listener.url(), "/hidden", { headers: { "x-secret": "not for the disk" } });
      const api = new URL("/api/requests/http", listener.inspectorUrl());
      const { requests } = (await (await fetch(api)).json()) as { requests: { id: string }[] };
      expect(requests).toMatchObject([
        { request: { uri: "/hidden" }, signature: { verdict: "unknown" } },
        { request: { uri: "/bad" }, signature: { verdict: "invalid" } },
        { request: { uri: "/good" }, signature: { verdict: "valid" } },
      ]);
      const whole = await (await fetch(`${api}/${requests[0]?.id}`)).text();
      expect(whole).toContain("[redacted]");
      expect(whole).not.toContain("not for the disk");
      expect(await ran("requests")).toMatchObject({ code: 0, stdout: expect.stringMatching(/\/good.*\n.*\/bad/) });
    } finally {
      await listener.close();
    }
    expect(await ran("requests")).toMatchObject({ code: 0, stdout: expect.stringMatching(/\/good.*\n.*\/bad/) });
  });

  it("refuses webhooks that are not signed, recorded or not", async () => {
    await using app = await App.start((_req, res) => res.end("in"));
    await using listener = await forward({
      ...options(),
      addr: app.port,
      url: "enforced",
      verifyWebhook: ["github=s3cret"],
      inspect: { webAddr: false },
    });
    expect((await visit(listener.url())).status).toBe(401);
    expect(listener.inspectorUrl()).toBeUndefined();
    await listener.close();
    expect((await ran("requests")).stdout).toMatch(/ GET .* \/ {2}\(failed, github: unknown\)$/m);
    await expect(forward({ addr: 1, verifyWebhook: ["nobody=x"], ...options() })).rejects.toMatchObject({
      code: "ERR_GGROK_CONFIG_INVALID",
    });
  });

  const ran = async (...args: string[]): Promise<{ code: unknown; stdout: string; stderr: string }> => {
    await using program = place.ggrok(args);
    const code = await program.exited;
    return { code, stdout: program.stdout, stderr: program.stderr };
  };
});

describe("the way to the relay", () => {
  it("leads through an HTTP proxy when one is named", async () => {
    const asked: string[] = [];
    const proxy = createServer();
    proxy.on("connect", (req, socket) => {
      asked.push(String(req.url));
      const [host = "", port] = String(req.url).split(":");
      const onward = connect(Number(port), host === "localhost" ? "127.0.0.1" : host);
      onward.once("connect", () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        socket.pipe(onward).pipe(socket);
      });
      for (const end of [socket, onward]) end.on("error", () => end.destroy());
    });
    proxy.listen(0, "127.0.0.1");
    await once(proxy, "listening");
    const { port } = proxy.address() as AddressInfo;
    await using app = await App.start((_req, res) => res.end("through"));
    const listener = await forward({ addr: app.port, url: "proxied", proxy: `http://127.0.0.1:${port}`, ...options() });
    expect((await visit(listener.url())).text).toBe("through");
    expect(asked).toEqual([`localhost:${relay.port}`]);
    await listener.close();
    proxy.close();
  });

  it("is no way when the proxy is not there or not understood", async () => {
    const dead = `http://127.0.0.1:${await freePort()}`;
    await expect(forward({ addr: 1, proxy: dead, ...options() })).rejects.toMatchObject({
      code: "ERR_GGROK_RELAY_UNREACHABLE",
    });
    await expect(forward({ addr: 1, proxy: "gopher://x", ...options() })).rejects.toMatchObject({
      code: "ERR_GGROK_CONFIG_INVALID",
    });
    await expect(forward({ addr: 1, ca: "/no/such/file.pem", ...options() })).rejects.toMatchObject({
      code: "ERR_GGROK_CONFIG_INVALID",
    });
  });

  it("is checked: a certificate nobody vouches for ends the try, one that --ca names is believed", async () => {
    const read = (name: string): string =>
      readFileSync(new URL(`fixtures/upstream-${name}.pem`, import.meta.url), "utf8");
    const front = createTlsServer({ key: read("key"), cert: read("cert") }, (agentSide) => {
      const relaySide = connect(relay.port, "127.0.0.1");
      for (const [from, to] of [
        [agentSide, relaySide],
        [relaySide, agentSide],
      ] as const) {
        from.on("error", () => to.destroy());
        from.pipe(to);
      }
    });
    front.on("tlsClientError", () => {});
    front.listen(0, "127.0.0.1");
    await once(front, "listening");
    const { port } = front.address() as AddressInfo;
    const secure = { ...options(), relay: `localhost:${port}` };
    await expect(forward({ addr: 1, ...secure })).rejects.toMatchObject({
      code: "ERR_GGROK_RELAY_UNREACHABLE",
      message: expect.stringMatching(/certificate.*--ca/),
    });
    const ca = fileURLToPath(new URL("fixtures/upstream-cert.pem", import.meta.url));
    await using app = await App.start((_req, res) => res.end("secure"));
    const listener = await forward({ addr: app.port, url: "secure", ca, ...secure });
    expect((await visit(`http://secure.localhost:${relay.port}`)).text).toBe("secure");
    await listener.close();
    front.close();
  });

  it("says so when a relay without TLS is called as one with", async () => {
    await expect(forward({ addr: 1, ...options(), relay: `localhost:${relay.port}` })).rejects.toMatchObject({
      message: expect.stringContaining(`http://localhost:${relay.port}`),
    });
  });
});
