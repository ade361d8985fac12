import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { connect as connectPlain } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { connect, type PeerCertificate, type TLSSocket } from "node:tls";
import { createRelay, type Relay, type RelayOptions } from "@ggrok/server";
import { createConnection, forward, type Listener } from "ggrok";
import { describe, expect, it } from "vitest";
import WebSocket, { WebSocketServer } from "ws";
import { type Identity, PrivateCa } from "../harness/private-ca.ts";
import { App, Program } from "./cli-world.ts";
import { TcpService } from "./tcp-world.ts";

const DEADLINE_MS = 20_000;

/** A relay with certificates of its own, an agent that knows their authority, and an app. */
class World implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "ggrok-tls-"));
  readonly #sockets: { destroy(): void }[] = [];
  #ca: PrivateCa | undefined;
  #relay: Relay | undefined;
  #agent: Listener | undefined;
  #app: App | undefined;
  log = "";

  static async start(more: RelayOptions = {}): Promise<World> {
    const world = new World();
    process.env["XDG_STATE_HOME"] = join(world.folder, "state");
    process.env["XDG_CONFIG_HOME"] = join(world.folder, "config");
    world.#ca = await PrivateCa.create(world.folder);
    world.write("one", await world.ca.issue(["localhost", "*.localhost"]));
    world.write("two", await world.ca.issue(["hooks.example.com"]));
    const logDestination = new PassThrough();
    logDestination.on("data", (chunk: Buffer) => {
      world.log += String(chunk);
    });
    world.#relay = await createRelay({
      bind: "127.0.0.1",
      domain: "localhost",
      tlsCert: ["one", "two"].map((name) => world.path(`${name}.pem`)),
      tlsKey: ["one", "two"].map((name) => world.path(`${name}.key`)),
      logDestination,
      ...more,
    });
    world.#app = await App.start((req, res) => {
      if (req.url === "/unread") return;
      const hash = createHash("sha256");
      req.on("data", (chunk: Buffer) => hash.update(chunk));
      req.on("end", () =>
        res.end(
          JSON.stringify({
            proto: req.headers["x-forwarded-proto"],
            for: req.headers["x-forwarded-for"],
            sha: hash.digest("hex"),
          }),
        ),
      );
    });
    const sockets = new WebSocketServer({ server: world.#app.server });
    sockets.on("connection", (ws) => ws.on("message", (data) => ws.send(String(data))));
    world.#agent = await forward({
      addr: world.#app.port,
      relay: `https://localhost:${world.#relay.port}`,
      url: "shop",
      ca: world.ca.path,
      folder: world.folder,
    });
    return world;
  }

  get ca(): PrivateCa {
    if (this.#ca === undefined) throw new Error("no authority yet");
    return this.#ca;
  }
  get port(): number {
    return this.#relay?.port ?? 0;
  }
  get url(): string {
    return this.#agent?.url() ?? "";
  }

  /** Destroys this one at the end too. */
  own(socket: { destroy(): void }): void {
    this.#sockets.push(socket);
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  write(name: string, { key, cert }: Identity): void {
    writeFileSync(this.path(`${name}.key`), key);
    writeFileSync(this.path(`${name}.pem`), cert);
  }

  async dial(servername: string | undefined): Promise<TLSSocket> {
    const socket = connect({
      host: "127.0.0.1",
      port: this.port,
      rejectUnauthorized: false,
      ...(servername !== undefined && { servername }),
    });
    this.#sockets.push(socket);
    await once(socket, "secureConnect", { signal: AbortSignal.timeout(DEADLINE_MS) });
    return socket;
  }

  async certificateFor(servername: string | undefined): Promise<PeerCertificate> {
    const socket = await this.dial(servername);
    const certificate = socket.getPeerCertificate();
    socket.destroy();
    return certificate;
  }

  async webSocket(): Promise<WebSocket> {
    const ws = new WebSocket(`wss://127.0.0.1:${this.port}/`, {
      rejectUnauthorized: false,
      headers: { host: `shop.localhost:${this.port}` },
    });
    this.#sockets.push({ destroy: () => ws.terminate() });
    await once(ws, "open", { signal: AbortSignal.timeout(DEADLINE_MS) });
    return ws;
  }

  /** A request over TLS, and what the app said. */
  async ask(body: Buffer): Promise<{ proto: string; sha: string }> {
    const text = await this.post("/", { host: `shop.localhost:${this.port}` }, body);
    return JSON.parse(text) as { proto: string; sha: string };
  }

  async post(path: string, headers: Record<string, string>, body: Buffer): Promise<string> {
    const call = request({
      host: "127.0.0.1",
      port: this.port,
      path,
      method: "POST",
      rejectUnauthorized: false,
      headers: { ...headers, "content-length": body.length },
      agent: false,
    });
    call.end(body);
    const [answer] = (await once(call, "response", { signal: AbortSignal.timeout(DEADLINE_MS) })) as [
      NodeJS.ReadableStream,
    ];
    let text = "";
    for await (const chunk of answer) text += String(chunk);
    return text;
  }

  async until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = Date.now() + DEADLINE_MS;
    while (!(await isTrue())) {
      if (Date.now() > deadline) throw new Error(`${what} did not come\n${this.log}`);
      await delay(50);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await this.#agent?.close();
    await this.#relay?.close(500);
    await this.#app?.[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

describe("a relay with certificates of its own", () => {
  it("serves agents and visitors over TLS, bodies whole, and says https", async () => {
    await using world = await World.start();
    expect(world.url).toBe(`https://shop.localhost:${world.port}`);
    expect(world.log).toContain(`"url":"https://localhost:${world.port}"`);
    const body = Buffer.alloc(5_000_003, "0123456789");
    const answer = await world.ask(body);
    expect(answer).toMatchObject({ proto: "https", sha: createHash("sha256").update(body).digest("hex") });
    const ws = await world.webSocket();
    ws.send("hello");
    expect(String((await once(ws, "message"))[0])).toBe("hello");
  });

  it("invites to where the operator has reached it, over TLS", async () => {
    await using world = await World.start({ adminToken: "root" });
    const fields = {
      host: `localhost:${world.port}`,
      authorization: "Bearer root",
      "content-type": "application/json",
    };
    const invite = async (name: string, more: Record<string, string> = {}): Promise<string> => {
      const text = await world.post(
        "/$$ggrok/api/v1/tokens",
        { ...fields, ...more },
        Buffer.from(`{"name":"${name}"}`),
      );
      const { secret, invite: link } = JSON.parse(text) as { secret: string; invite: string };
      return link.replace(secret, "SECRET");
    };
    expect(await invite("alice")).toBe(`https://localhost:${world.port}/#SECRET`);
    // A front end that is trusted, as this machine is, knows better what the operator used.
    expect(await invite("bob", { "x-forwarded-proto": "http" })).toBe(`http://localhost:${world.port}/#SECRET`);
  });

  it("is found by the command that asks for its state, from its own configuration", async () => {
    await using world = await World.start();
    const files = ["--tls-cert", world.path("one.pem"), "--tls-key", world.path("one.key")];
    const args = ["status", "--domain", "localhost", "--port", String(world.port), ...files];
    await using status = Program.relay(args, { ...process.env, NODE_EXTRA_CA_CERTS: world.ca.path });
    expect(await status.exited, status.stderr).toBe(0);
    expect(status.stdout).toMatch(/^relay +ready$/mu);
  });

  it("carries TCP tunnels both ways, each direction ending by itself", async () => {
    await using world = await World.start();
    await using service = await TcpService.start();
    const relay = `https://localhost:${world.port}`;
    const own = { relay, ca: world.ca.path };
    await using _agent = await forward({ ...own, addr: service.port, proto: "tcp", url: "db", folder: world.folder });
    const socket = createConnection({ ...own, name: "db", allowHalfOpen: true });
    world.own(socket);
    socket.end("question");
    const { socket: there, reader } = await service.connection();
    expect((await reader.take(8)).toString()).toBe("question");
    expect(await reader.ended()).toBe("fin");
    there.end("answer");
    let text = "";
    for await (const chunk of socket) text += String(chunk);
    expect(text).toBe("answer");
  });

  it("picks the certificate by the name that is asked for, the first for every other", async () => {
    await using world = await World.start();
    const named = async (name: string | undefined): Promise<string> =>
      (await world.certificateFor(name)).subjectaltname ?? "";
    expect(await named("shop.localhost")).toBe("DNS:localhost, DNS:*.localhost");
    expect(await named("hooks.example.com")).toBe("DNS:hooks.example.com");
    expect(await named("other.example.com")).toContain("localhost");
    expect(await named(undefined)).toContain("localhost");
  });

  it("takes renewed files for new connections while open ones go on", async () => {
    await using world = await World.start();
    const ws = await world.webSocket();
    const before = await world.certificateFor("shop.localhost");
    world.write("one", await world.ca.issue(["localhost", "*.localhost"]));
    await world.until(
      "the new certificate",
      async () => (await world.certificateFor("shop.localhost")).fingerprint256 !== before.fingerprint256,
    );
    expect((await world.certificateFor(undefined)).fingerprint256).not.toBe(before.fingerprint256);
    ws.send("still here");
    expect(String((await once(ws, "message"))[0])).toBe("still here");
    expect((await world.ask(Buffer.from("x"))).proto).toBe("https");
  });

  it("keeps what it has when the new files do not fit together, and says so", async () => {
    await using world = await World.start();
    const before = await world.certificateFor("shop.localhost");
    writeFileSync(world.path("one.key"), (await world.ca.issue(["localhost"])).key);
    await world.until("a word in the log", () => world.log.includes("is not the key of"));
    expect((await world.certificateFor("shop.localhost")).fingerprint256).toBe(before.fingerprint256);
  });

  it("knows the visitor behind a front end that passes TLS on with the PROXY protocol", async () => {
    await using world = await World.start({ proxyProtocol: true });
    const raw = connectPlain(world.port, "127.0.0.1");
    world.own(raw);
    raw.write("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n");
    const socket = connect({ socket: raw, servername: "shop.localhost", rejectUnauthorized: false });
    await once(socket, "secureConnect", { signal: AbortSignal.timeout(DEADLINE_MS) });
    const fields = ["Host: shop.localhost", "X-Forwarded-For: 6.6.6.6", "Connection: close"];
    socket.write(`GET / HTTP/1.1\r\n${fields.join("\r\n")}\r\n\r\n`);
    let text = "";
    for await (const chunk of socket) text += String(chunk);
    expect(text).toContain('"proto":"https","for":"192.0.2.1"');
    // Whoever comes without the header speaks for itself.
    expect((await world.ask(Buffer.from("x"))).proto).toBe("https");
  });

  it("notices a visitor who resets while nothing of the upload is read", async () => {
    await using world = await World.start();
    const raw = connectPlain(world.port, "127.0.0.1");
    world.own(raw);
    const socket = connect({ socket: raw, servername: "shop.localhost", rejectUnauthorized: false });
    await once(socket, "secureConnect", { signal: AbortSignal.timeout(DEADLINE_MS) });
    socket.on("error", () => {});
    socket.write("POST /unread HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 100000000\r\n\r\n");
    socket.write(Buffer.alloc(50_000_000));
    let before = -1;
    await world.until("the upload to stand still", async () => {
      const sent = raw.bytesWritten - raw.writableLength;
      const isStill = sent === before && sent > 100_000;
      before = sent;
      await delay(250);
      return isStill;
    });
    expect(world.log).not.toContain("/unread");
    raw.resetAndDestroy();
    await world.until("the end of the exchange in the log", () => world.log.includes("/unread"));
    expect((await world.ask(Buffer.from("x"))).proto).toBe("https");
  });

  it("answers plain requests with the reason, and survives what is no TLS", async () => {
    await using world = await World.start();
    const plain = await fetch(`http://127.0.0.1:${world.port}/`);
    expect([plain.status, await plain.text()]).toEqual([400, expect.stringContaining("use https://")]);
    const noise = connectPlain(world.port, "127.0.0.1");
    noise.on("error", () => {}).resume();
    noise.write(Buffer.from([0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5]));
    await once(noise, "close", { signal: AbortSignal.timeout(DEADLINE_MS) });
    expect((await world.ask(Buffer.from("x"))).proto).toBe("https");
  });
});

describe("wrong certificate settings", () => {
  it.each([
    [["--tls-cert", "/nowhere.pem"], "each certificate needs its key"],
    [["--tls-cert", "/nowhere.pem", "--tls-key", "/nowhere.key"], "/nowhere.pem cannot be used"],
  ])("end the relay with exit code 3: %j", async (flags, text) => {
    await using relay = Program.relay(["--port", "0", ...flags], { ...process.env });
    expect(await relay.exited).toBe(3);
    expect(relay.stderr).toContain(text);
  });
});
