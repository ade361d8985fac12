import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Agent, createServer, get, type IncomingMessage } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { join } from "node:path";
import { type ConnectionOptions, createConnection } from "ggrok";
import { describe, expect, it } from "vitest";
import { DEADLINE_MS, within } from "../harness/deadline.ts";
import { startRouter, TcpWorld, writeUntilFull } from "./tcp-world.ts";

/** A window on each hop grows to 4 MiB; the rest are socket buffers of the hops on loopback. */
const MOST_TAKEN_BYTES = 67_108_864;

async function failureOf(options: ConnectionOptions): Promise<string> {
  const socket = createConnection(options);
  const [error] = (await within(
    "an error",
    once(socket, "close")
      .then(() => [])
      .catch((e: unknown) => [e]),
  )) as [unknown];
  return (error as NodeJS.ErrnoException | undefined)?.code ?? "none";
}

describe.each(["connect", "upgrade"] as const)("createConnection by %s", (way) => {
  it("is a Duplex that is written to before it is connected, with both half-closes", async () => {
    await using world = await TcpWorld.start();
    await using router = await startRouter(world.relay.port);
    const port = way === "connect" ? world.relay.port : router.port;
    const relay = `http://localhost:${port}`;
    const socket = createConnection({ relay, name: "db", allowHalfOpen: true });
    const up = randomBytes(1_000_000);
    socket.write("early,");
    socket.end(up);
    const { socket: atApp, reader } = await world.service.connection();
    expect((await reader.rest()).equals(Buffer.concat([Buffer.from("early,"), up]))).toBe(true);
    const down = randomBytes(1_000_000);
    atApp.end(down);
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).equals(down)).toBe(true);
    expect(router.connects).toBe(way === "connect" ? 0 : 1);
    const ways = JSON.parse(readFileSync(join(world.folder, "state", "ggrok", "connect-ways.json"), "utf8")) as unknown;
    expect(ways).toEqual({ [relay]: way });

    // The second time nothing is tried that is known not to work.
    const again = createConnection({ relay, name: "tcp://db.localhost" });
    await once(again, "connect", { signal: AbortSignal.timeout(DEADLINE_MS) });
    expect(router.connects).toBe(way === "connect" ? 0 : 1);
    again.destroy();
    expect(await (await world.service.connection(1)).reader.ended()).toBe("rst");
  });

  it("tells a missing right, an unknown name, a dead app and a dead relay apart", async () => {
    await using world = await TcpWorld.start({
      relay: { token: "secret", hold: "0", park: "100ms" },
      agent: { authtoken: "secret" },
    });
    await using router = await startRouter(world.relay.port);
    const port = way === "connect" ? world.relay.port : router.port;
    const relay = `http://localhost:${port}`;
    const token = "secret";
    expect(await failureOf({ relay, name: "db" })).toBe("ERR_GGROK_CONNECT_UNAUTHORIZED");
    expect(await failureOf({ relay, name: "other", token })).toBe("ERR_GGROK_CONNECT_REFUSED");
    const wrong = await failureOf({ relay, name: "db", token: "wrong" });
    expect(wrong).toBe(way === "connect" ? "ERR_GGROK_CONNECT_UNAUTHORIZED" : "ERR_GGROK_TOKEN_REFUSED");
    world.service.stop();
    expect(await failureOf({ relay, name: "db", token })).toBe("ERR_GGROK_UPSTREAM_REFUSED");
    expect(await failureOf({ relay: "http://localhost:9", name: "db", token })).toBe("ERR_GGROK_RELAY_UNREACHABLE");
  });

  it("carries a reset of the app, and ends with its signal", async () => {
    await using world = await TcpWorld.start();
    await using router = await startRouter(world.relay.port);
    const port = way === "connect" ? world.relay.port : router.port;
    const relay = `http://localhost:${port}`;
    const first = createConnection({ relay, name: "db" });
    first.write("x");
    const atApp = await world.service.connection();
    await atApp.reader.take(1);
    const broken = once(first, "close").then(
      () => "closed",
      (error: NodeJS.ErrnoException) => error.code,
    );
    atApp.socket.resetAndDestroy();
    expect(await within("the reset", broken)).toMatch(/^(ECONNRESET|ERR_GGROK_UPSTREAM_RESET)$/);

    const stop = new AbortController();
    const second = createConnection({ relay, name: "db", signal: stop.signal });
    await once(second, "connect", { signal: AbortSignal.timeout(DEADLINE_MS) });
    const ended = once(second, "close").catch((error: unknown) => error);
    stop.abort(new Error("enough"));
    expect(await within("the end", ended)).toMatchObject({ message: "enough" });
  });

  it("stops its writer when the app does not read, and takes no more than windows and the kernel's buffers", async () => {
    await using world = await TcpWorld.start();
    await using router = await startRouter(world.relay.port);
    const port = way === "connect" ? world.relay.port : router.port;
    world.service.isReading = false;
    const socket = createConnection({ relay: `http://localhost:${port}`, name: "db" });
    await once(socket, "connect", { signal: AbortSignal.timeout(DEADLINE_MS) });
    expect(await writeUntilFull(socket, MOST_TAKEN_BYTES)).toBeGreaterThan(0);
    socket.destroy();
  });

  it("is the socket of an http.Agent", async () => {
    const app = createServer((request, response) => response.end(`${request.url} ${request.headers.host}`));
    app.listen(0, "127.0.0.1");
    await once(app, "listening");
    await using world = await TcpWorld.start({ agent: { addr: (app.address() as AddressInfo).port } });
    await using router = await startRouter(world.relay.port);
    const port = way === "connect" ? world.relay.port : router.port;
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    agent.createConnection = () => createConnection({ relay: `http://localhost:${port}`, name: "db" });
    for (const path of ["/one", "/two"]) {
      const request = get({ host: "app.test", path, agent });
      const [response] = (await once(request, "response", { signal: AbortSignal.timeout(DEADLINE_MS) })) as [
        IncomingMessage,
      ];
      let text = "";
      for await (const chunk of response) text += String(chunk);
      expect(text).toBe(`${path} app.test`);
    }
    agent.destroy();
    app.closeAllConnections();
    const closed = once(app, "close");
    app.close();
    await closed;
  });
});

describe("createConnection", () => {
  it.each(["http", "https"])("gives up after its timeout over %s, and leaves no connection open", async (scheme) => {
    // A relay that takes connections and says nothing.
    const silent = createTcpServer((socket) => void socket.on("error", () => {}).resume());
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
    const { port } = silent.address() as AddressInfo;
    expect(await failureOf({ relay: `${scheme}://localhost:${port}`, name: "db", timeoutMs: 200 })).toBe("ETIMEDOUT");
    const closed = once(silent, "close");
    silent.close();
    await within("the last connection's end", closed);
  });

  it("keeps the bytes that come together with the answer's head", async () => {
    const relay = createTcpServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\n\r\nfirst words"));
    });
    relay.listen(0, "127.0.0.1");
    await once(relay, "listening");
    const { port } = relay.address() as AddressInfo;
    const socket = createConnection({ relay: `http://localhost:${port}`, name: "db" });
    let text = "";
    for await (const chunk of socket) text += String(chunk);
    expect(text).toBe("first words");
    const closed = once(relay, "close");
    relay.close();
    await closed;
  });

  it("says when it is a proxy on the way that asks for a login", async () => {
    const proxy = createTcpServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => socket.end('HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n'));
    });
    proxy.listen(0, "127.0.0.1");
    await once(proxy, "listening");
    const way = `http://localhost:${(proxy.address() as AddressInfo).port}`;
    const options = { relay: "https://relay.test", name: "db", proxy: way };
    expect(await failureOf(options)).toBe("ERR_GGROK_PROXY_LOGIN_REQUIRED");
    const closed = once(proxy, "close");
    proxy.close();
    await closed;
  });

  it("reaches a public tunnel without a token, also over the WebSocket", async () => {
    await using world = await TcpWorld.start({
      relay: { token: "secret" },
      agent: { authtoken: "secret", public: true },
    });
    await using router = await startRouter(world.relay.port);
    const socket = createConnection({ relay: `http://localhost:${router.port}`, name: "db" });
    socket.write("x");
    const { reader } = await world.service.connection();
    expect((await reader.take(1)).toString()).toBe("x");
    socket.destroy();
  });
});
