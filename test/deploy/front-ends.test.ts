import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { request } from "node:https";
import { type AddressInfo, connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { connect, type PeerCertificate } from "node:tls";
import { fileURLToPath } from "node:url";
import { createRelay, type Relay } from "@ggrok/server";
import { forward, type Listener } from "ggrok";
import { describe, expect, it } from "vitest";
import WebSocket, { WebSocketServer } from "ws";
import { freePort } from "../e2e/cli-world.ts";
import { PrivateCa } from "../harness/private-ca.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const DEADLINE_MS = 30_000;
const UPLOAD = Buffer.alloc(3_000_017, "upload ");

/** Echoes WebSockets, streams events that visitors ask for one by one, hashes uploads, and tells what it was asked. */
class StreamingApp {
  readonly server: Server;
  /** Sends one more event to everyone who listens. */
  sendEvent: (text: string) => void = () => {};

  constructor() {
    this.server = createServer((req, res) => {
      if (req.url === "/events") {
        res.writeHead(200, { "content-type": "text/event-stream" });
        res.write("data: first\n\n");
        this.sendEvent = (text) => res.write(`data: ${text}\n\n`);
        return;
      }
      const hash = createHash("sha256");
      req.on("data", (chunk: Buffer) => hash.update(chunk));
      req.on("end", () => res.end(JSON.stringify({ sha: hash.digest("hex"), headers: req.headers })));
    });
    const sockets = new WebSocketServer({ server: this.server });
    sockets.on("connection", (ws) => ws.on("message", (data, isBinary) => ws.send(data, { binary: isBinary })));
  }
}

/** A relay and a tunnel named `shop` behind a front end of somebody else's. */
class World implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "ggrok-front-"));
  readonly app = new StreamingApp();
  readonly programs: ChildProcess[] = [];
  readonly sockets: WebSocket[] = [];
  output = "";
  #ca: PrivateCa | undefined;
  #relay: Relay | undefined;
  #agent: Listener | undefined;

  static async start(): Promise<World> {
    const world = new World();
    process.env["XDG_STATE_HOME"] = join(world.folder, "state");
    process.env["XDG_CONFIG_HOME"] = join(world.folder, "config");
    world.#ca = await PrivateCa.create(world.folder);
    world.#relay = await createRelay({ bind: "127.0.0.1", domain: "localhost", token: "front-end-token" });
    world.app.server.listen(0, "127.0.0.1");
    await once(world.app.server, "listening");
    return world;
  }

  get ca(): PrivateCa {
    if (this.#ca === undefined) throw new Error("no authority yet");
    return this.#ca;
  }
  get agent(): Listener {
    if (this.#agent === undefined) throw new Error("no agent yet");
    return this.#agent;
  }
  get relayPort(): number {
    return this.#relay?.port ?? 0;
  }

  /** The agent comes in by the front end too, as every agent does. */
  async openTunnel(port: number, ca: string): Promise<void> {
    this.#agent = await forward({
      addr: (this.app.server.address() as AddressInfo).port,
      relay: `https://localhost:${port}`,
      authtoken: "front-end-token",
      url: "shop",
      ca,
      folder: this.folder,
    });
    expect(this.#agent.url()).toBe(`https://shop.localhost:${port}`);
  }

  run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): void {
    const child = spawn(command, args, { cwd: this.folder, env: { ...process.env, HOME: this.folder, ...env } });
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => {
        this.output += String(chunk);
      });
    this.programs.push(child);
  }

  async until(what: string, isTrue: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + DEADLINE_MS;
    while (!(await isTrue())) {
      if (Date.now() > deadline || this.programs.some(({ exitCode }) => exitCode !== null))
        throw new Error(`${what} did not come\n${this.output.slice(-4_000)}`);
      await delay(50);
    }
  }

  untilListening(port: number): Promise<void> {
    return this.until(`port ${port}`, () => canConnect(port));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const ws of this.sockets) ws.terminate();
    await this.#agent?.close();
    await Promise.all(
      this.programs.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const closed = once(child, "close");
        child.kill("SIGTERM");
        await closed;
      }),
    );
    await this.#relay?.close(500);
    this.app.server.close();
    this.app.server.closeAllConnections();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function canConnect(port: number): Promise<boolean> {
  const socket = connectTcp(port, "127.0.0.1");
  const isThere = await new Promise<boolean>((resolve) => {
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
  });
  socket.destroy();
  return isThere;
}

/** A request to the tunnel by way of the front end. */
async function ask(
  port: number,
  path: string,
  o: { body?: Buffer; headers?: Record<string, string> } = {},
): Promise<IncomingMessage> {
  const call = request({
    host: "127.0.0.1",
    port,
    path,
    method: o.body === undefined ? "GET" : "POST",
    servername: "shop.localhost",
    rejectUnauthorized: false,
    headers: { ...o.headers, host: `shop.localhost:${port}` },
    agent: false,
  });
  call.end(o.body);
  const [answer] = (await once(call, "response", { signal: AbortSignal.timeout(DEADLINE_MS) })) as [IncomingMessage];
  return answer;
}

async function textOf(answer: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of answer) text += String(chunk);
  return text;
}

/** What every front end has to let through. */
async function exercise(world: World, port: number): Promise<void> {
  const forged = {
    "x-forwarded-for": "6.6.6.6",
    "x-forwarded-proto": "gopher",
    "x-forwarded-port": "1",
    forwarded: "for=6.6.6.6",
  };
  const answer = await ask(port, "/upload", { body: UPLOAD, headers: forged });
  const seen = JSON.parse(await textOf(answer)) as { sha: string; headers: Record<string, string> };
  expect(seen.sha).toBe(createHash("sha256").update(UPLOAD).digest("hex"));
  expect(seen.headers["x-forwarded-for"]?.split(", ")[0]).toBe("127.0.0.1");
  expect(seen.headers).toMatchObject({
    "x-forwarded-proto": "https",
    "x-forwarded-host": `shop.localhost:${port}`,
    "x-forwarded-port": String(port),
  });
  expect(JSON.stringify(seen.headers)).not.toContain("6.6.6.6");

  const events = await ask(port, "/events");
  const next = async (): Promise<string> =>
    String((await once(events, "data", { signal: AbortSignal.timeout(DEADLINE_MS) }))[0]);
  expect(await next()).toContain("first");
  for (const text of ["second", "third"]) {
    world.app.sendEvent(text);
    expect(await next()).toContain(text);
  }
  events.destroy();

  const options = {
    servername: "shop.localhost",
    rejectUnauthorized: false,
    headers: { host: `shop.localhost:${port}` },
  };
  const ws = new WebSocket(`wss://127.0.0.1:${port}/`, options);
  world.sockets.push(ws);
  await once(ws, "open", { signal: AbortSignal.timeout(DEADLINE_MS) });
  ws.send(UPLOAD.subarray(0, 200_000));
  const [message] = (await once(ws, "message", { signal: AbortSignal.timeout(DEADLINE_MS) })) as [Buffer];
  expect(message.length).toBe(200_000);
}

async function certificateOf(port: number, servername: string): Promise<PeerCertificate | undefined> {
  const socket = connect({ host: "127.0.0.1", port, servername, rejectUnauthorized: false });
  const certificate = await new Promise<PeerCertificate | undefined>((resolve) => {
    socket.once("secureConnect", () => resolve(socket.getPeerCertificate()));
    socket.once("error", () => resolve(undefined));
  });
  socket.destroy();
  return certificate;
}

/** Runs nginx with our site, its addresses and files moved, and perhaps something else. */
async function runNginx(world: World, changes: readonly (readonly [string, string])[] = []): Promise<number> {
  const port = await freePort();
  const { cert, key } = await world.ca.issue(["localhost", "*.localhost"]);
  writeFileSync(join(world.folder, "cert.pem"), cert);
  writeFileSync(join(world.folder, "key.pem"), key);
  const places = [
    ["listen 443 ssl", `listen 127.0.0.1:${port} ssl`],
    ["server 127.0.0.1:8080", `server 127.0.0.1:${world.relayPort}`],
    ["tunnels.example.com *.tunnels.example.com", "localhost *.localhost"],
    ["/etc/ssl/ggrok", world.folder],
    ...changes,
  ] as const;
  let site = readFileSync(join(ROOT, "deploy/nginx/ggrok.conf"), "utf8");
  for (const [from, to] of places) {
    expect(site).toContain(from);
    site = site.replaceAll(from, to);
  }
  const folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  const own = folders.map((name) => `${name}_temp_path ${world.folder}/${name};`).join(" ");
  const config = join(world.folder, "nginx.conf");
  writeFileSync(
    config,
    `daemon off; pid ${world.folder}/nginx.pid; error_log stderr; worker_processes 1;
     events {} http { access_log off; ${own} ${site} }`,
  );
  world.run("nginx", ["-p", world.folder, "-e", "stderr", "-c", config]);
  await world.untilListening(port);
  return port;
}

describe("behind nginx", () => {
  it("passes uploads, event streams and WebSockets, and knows the visitor", async () => {
    await using world = await World.start();
    const port = await runNginx(world);
    await world.openTunnel(port, world.ca.path);
    await exercise(world, port);
  });

  it("keeps an idle agent where the front end cuts what is silent, by its heartbeat", async () => {
    await using world = await World.start();
    // A little more than one beat, far less than it takes a dead link to be noticed.
    const port = await runNginx(world, [["proxy_read_timeout 1d", "proxy_read_timeout 7s"]]);
    await world.openTunnel(port, world.ca.path);
    const breaks: unknown[] = [];
    world.agent.on("session.reconnecting", (event) => breaks.push(event));
    const silent = new WebSocket(`wss://127.0.0.1:${port}/`, {
      rejectUnauthorized: false,
      headers: { host: `shop.localhost:${port}` },
    });
    world.sockets.push(silent);
    silent.on("error", () => {});
    await once(silent, "open", { signal: AbortSignal.timeout(DEADLINE_MS) });
    // A visitor's own silent WebSocket shows that the front end does cut.
    await once(silent, "close", { signal: AbortSignal.timeout(DEADLINE_MS) });
    expect(breaks).toEqual([]);
    expect((await ask(port, "/")).statusCode).toBe(200);
  });
});

describe("a platform's front end", () => {
  it.each([
    ["heroku", 95],
    ["fly", 620],
  ] as const)("never finds an idle connection closed at its next request: %s", async (platform, seconds) => {
    await using relay = await createRelay({ bind: "127.0.0.1", platform });
    const answer = await fetch(`http://127.0.0.1:${relay.port}/$$ggrok/health`);
    expect(answer.headers.get("keep-alive")).toBe(`timeout=${seconds}`);
  });
});

describe("behind Caddy with certificates on demand", () => {
  it("has a Caddyfile that Caddy takes", () => {
    const env = { ...process.env, ACME_EMAIL: "you@example.com", RELAY: "tunnels.example.com:8080", HOME: tmpdir() };
    const args = ["validate", "--adapter", "caddyfile", "--config", join(ROOT, "deploy/compose/Caddyfile")];
    // It ends with another code when it does not.
    execFileSync("caddy", args, { env, stdio: "pipe" });
  });

  it("gets a certificate for each name that is in use and for no other, and passes everything", async () => {
    await using world = await World.start();
    const [acme, management, http, https, admin] = [
      await freePort(),
      await freePort(),
      await freePort(),
      await freePort(),
      await freePort(),
    ];
    const { cert, key } = await world.ca.issue(["localhost", "127.0.0.1"]);
    writeFileSync(join(world.folder, "pebble.pem"), cert);
    writeFileSync(join(world.folder, "pebble.key"), key);
    const pebble = {
      listenAddress: `127.0.0.1:${acme}`,
      managementListenAddress: `127.0.0.1:${management}`,
      certificate: join(world.folder, "pebble.pem"),
      privateKey: join(world.folder, "pebble.key"),
      httpPort: http,
      tlsPort: https,
      ocspResponderURL: "",
    };
    writeFileSync(join(world.folder, "pebble.json"), JSON.stringify({ pebble }));
    // Names below localhost are in no DNS, so the authority believes what it is told; everything else is as ever.
    const lenient = { PEBBLE_VA_ALWAYS_VALID: "1", PEBBLE_VA_NOSLEEP: "1", PEBBLE_WFE_NONCEREJECT: "0" };
    world.run("pebble", ["-config", join(world.folder, "pebble.json")], lenient);
    await world.untilListening(acme);
    mkdirSync(join(world.folder, "caddy"));
    world.run("caddy", ["run", "--adapter", "caddyfile", "--config", join(ROOT, "deploy/compose/Caddyfile")], {
      ACME_EMAIL: "you@example.com",
      ACME_CA: `https://localhost:${acme}/dir`,
      SSL_CERT_FILE: world.ca.path,
      RELAY: `localhost:${world.relayPort}`,
      HTTP_PORT: String(http),
      HTTPS_PORT: String(https),
      CADDY_ADMIN: `127.0.0.1:${admin}`,
      XDG_DATA_HOME: join(world.folder, "caddy"),
      XDG_CONFIG_HOME: join(world.folder, "caddy"),
    });
    await world.untilListening(https);
    // The relay's own name first: agents need it. Then the authority that Caddy's certificates come from is known.
    await world.until(
      "a certificate for the relay",
      async () => (await certificateOf(https, "localhost")) !== undefined,
    );
    expect((await certificateOf(https, "localhost"))?.issuer.CN).toContain("Pebble");
    expect(await certificateOf(https, "nobody.localhost")).toBeUndefined();
    const root = await fetchUnchecked(management, "/roots/0");
    const chain = join(world.folder, "pebble-root.pem");
    writeFileSync(chain, root);
    await world.openTunnel(https, chain);
    await world.until(
      "a certificate for the tunnel",
      async () => (await certificateOf(https, "shop.localhost")) !== undefined,
    );
    await exercise(world, https);
  });
});

/** The management interface of pebble has a certificate of our own authority, for a name that is not the address. */
async function fetchUnchecked(port: number, path: string): Promise<string> {
  const call = request({ host: "127.0.0.1", port, path, rejectUnauthorized: false, agent: false });
  call.end();
  const [answer] = (await once(call, "response", { signal: AbortSignal.timeout(DEADLINE_MS) })) as [IncomingMessage];
  return await textOf(answer);
}
