import { once } from "node:events";
import type { RequestListener } from "node:http";
import type { Duplex } from "node:stream";
import { encodeControlMessage } from "@ggrok/protocol";
import { afterEach, describe, expect, it } from "vitest";
import WebSocket, { WebSocketServer } from "ws";
import { App, Place, type Program, RelayProcess, visit } from "./cli-world.ts";
import { HELLO, RawAgent } from "./raw-agent.ts";

const ADA = `Basic ${Buffer.from("ada:s3cret").toString("base64")}`;
const BOB = `Basic ${Buffer.from("bob:pa:ss").toString("base64")}`;

/** Tells what it was asked, and echoes WebSocket messages. */
async function startApp(): Promise<App> {
  const tell: RequestListener = (req, res) => {
    res.setHeader("content-type", "application/json");
    res.end(JSON.stringify({ method: req.method, url: req.url, authorization: req.headers.authorization ?? null }));
  };
  const app = await App.start(tell);
  const sockets = new WebSocketServer({ noServer: true });
  app.server.on("upgrade", (req, socket: Duplex, head) => {
    sockets.handleUpgrade(req, socket, head, (ws) => {
      ws.on("message", (data) => ws.send(`${String(req.headers.authorization)} ${String(data)}`));
    });
  });
  return app;
}

/** A relay, an app and an agent, each a program of its own. */
class World implements AsyncDisposable {
  readonly relay: RelayProcess;
  readonly app: App;
  readonly place: Place;
  readonly agents: Program[] = [];

  constructor(relay: RelayProcess, app: App, place: Place) {
    this.relay = relay;
    this.app = app;
    this.place = place;
  }

  static async start(relayArgs: readonly string[] = []): Promise<World> {
    const relay = await RelayProcess.start(["--domain", "localhost", "--token", "tunnel-token", ...relayArgs]);
    return new World(relay, await startApp(), new Place({ GGROK_AUTHTOKEN: "tunnel-token" }));
  }

  run(flags: readonly string[], env: NodeJS.ProcessEnv = {}): Program {
    const args = ["http", "--relay", this.relay.origin, "--url", "shop", String(this.app.port), ...flags];
    const agent = this.place.ggrok(args, { env });
    this.agents.push(agent);
    return agent;
  }

  /** The URL of a tunnel with these flags. */
  async open(flags: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
    return await this.run(flags, env).line();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const agent of this.agents) await agent[Symbol.asyncDispose]();
    await this.relay[Symbol.asyncDispose]();
    await this.app[Symbol.asyncDispose]();
    await this.place[Symbol.asyncDispose]();
  }
}

const open: WebSocket[] = [];
afterEach(() => {
  for (const ws of open.splice(0)) ws.terminate();
});

function socketTo(url: string, headers: Record<string, string> = {}): WebSocket {
  const { host, port } = new URL(url);
  const ws = new WebSocket(`ws://127.0.0.1:${port}/ws`, { headers: { ...headers, host } });
  open.push(ws);
  return ws;
}

describe("a tunnel with --basic-auth", () => {
  it("asks visitors to log in and keeps their password from the app and from the log", async () => {
    await using world = await World.start();
    const url = await world.open(["--basic-auth", "ada:s3cret", "--basic-auth", "env:USERS"], { USERS: "bob:pa:ss\n" });
    const refused = await visit(url, "/", { headers: { accept: "application/json" } });
    expect(refused.status).toBe(401);
    expect(refused.headers["www-authenticate"]).toBe('Basic realm="shop.localhost", charset="UTF-8"');
    expect(refused.headers["ggrok-error"]).toBe("ERR_GGROK_VISITOR_UNAUTHORIZED");
    expect(JSON.parse(refused.text)).toMatchObject({ error: { nextStep: expect.stringContaining("Log in") } });
    for (const authorization of [ADA, BOB]) {
      const { status, text } = await visit(url, "/a?b", { headers: { authorization } });
      expect([status, JSON.parse(text)]).toEqual([200, { method: "GET", url: "/a?b", authorization: null }]);
    }
    expect((await visit(url, "/", { headers: { authorization: "Bearer x" } })).status).toBe(401);
    const upload = await visit(url, "/", { method: "POST", body: "x".repeat(100_000) });
    expect(upload.status).toBe(401);
    const output = world.relay.program.stdout + world.relay.program.stderr + world.agents[0]?.stderr;
    expect(output).not.toMatch(/s3cret|pa:ss/);
    expect(output).not.toContain(ADA.slice(6));
  });

  it("holds for WebSockets", async () => {
    await using world = await World.start();
    const url = await world.open(["--basic-auth", "ada:s3cret"]);
    const refused = socketTo(url);
    refused.on("error", () => {});
    const [, answer] = (await once(refused, "unexpected-response")) as [
      unknown,
      { statusCode: number; headers: object },
    ];
    expect(answer.statusCode).toBe(401);
    expect(answer.headers).toMatchObject({ "ggrok-error": "ERR_GGROK_VISITOR_UNAUTHORIZED" });
    const ws = socketTo(url, { authorization: ADA });
    await once(ws, "open");
    ws.send("hello");
    expect(String((await once(ws, "message"))[0])).toBe("undefined hello");
  });

  it("shows the app the field with --basic-auth-pass", async () => {
    await using world = await World.start();
    const url = await world.open(["--basic-auth", "ada:s3cret", "--basic-auth-pass"]);
    const { text } = await visit(url, "/", { headers: { authorization: ADA } });
    expect(JSON.parse(text)).toMatchObject({ authorization: ADA });
  });

  it("leaves open paths and CORS preflights alone, and no path that an app could read as another", async () => {
    await using world = await World.start();
    const url = await world.open(["--basic-auth", "ada:s3cret", "--open", "/hooks/*"]);
    const hook = await visit(url, "/hooks/github?x", { method: "POST", headers: { authorization: "Bearer app" } });
    expect([hook.status, JSON.parse(hook.text)["authorization"]]).toEqual([200, "Bearer app"]);
    const preflight = { origin: "https://a.example", "access-control-request-method": "PUT" };
    expect((await visit(url, "/admin", { method: "OPTIONS", headers: preflight })).status).toBe(200);
    for (const path of ["/hooks", "/hooks/../admin", "/hooks/%2e%2e/admin", "/hooks/..%2fadmin", "/hooks//admin"])
      expect((await visit(url, path)).status, path).toBe(401);
  });

  it("is asked for by visitors who waited for the agent", async () => {
    await using world = await World.start(["--park", "20s"]);
    // Right after its own start the relay keeps requests for names it does not know yet.
    const { port } = world.relay;
    const early = visit(`http://shop.localhost:${port}`);
    await world.open(["--basic-auth", "ada:s3cret"]);
    expect((await early).status).toBe(401);
  });
});

describe("addresses", () => {
  it("are those behind trusted front ends, and decide who may come in", async () => {
    await using world = await World.start();
    const url = await world.open(["--cidr-allow", "192.0.2.0/24,2001:db8::/32", "--cidr-deny", "192.0.2.66"]);
    const from = async (chain: string): Promise<number> =>
      (await visit(url, "/", { headers: { "x-forwarded-for": chain } })).status;
    expect(await from("192.0.2.1")).toBe(200);
    // Whatever the visitor wrote stands left of what the front end saw.
    expect(await from("192.0.2.1, 198.51.100.7")).toBe(403);
    expect(await from("198.51.100.7, 192.0.2.1, 127.0.0.1")).toBe(200);
    expect(await from("192.0.2.66")).toBe(403);
    expect(await from("[2001:db8::1]:4000")).toBe(200);
    const refused = await visit(url);
    expect([refused.status, refused.headers["ggrok-error"]]).toEqual([403, "ERR_GGROK_VISITOR_FORBIDDEN"]);
  });

  it("may come in Forwarded alone, with the scheme, for visitors and for the URL an agent prints", async () => {
    await using world = await World.start();
    const url = await world.open(["--cidr-allow", "192.0.2.0/24,2001:db8::/32"]);
    const from = (forwarded: string): ReturnType<typeof visit> => visit(url, "/", { headers: { forwarded } });
    expect((await from("for=192.0.2.1")).status).toBe(200);
    expect((await from('for=198.51.100.7;x=", for="[2001:db8::1]:4000";proto=https, for=127.0.0.1')).status).toBe(200);
    expect((await from("for=192.0.2.1, for=198.51.100.7")).status).toBe(403);
    expect((await from("for=192.0.2.1, for=unknown")).status).toBe(403);
    const both = { forwarded: "for=192.0.2.1", "x-forwarded-for": "198.51.100.7" };
    expect((await visit(url, "/", { headers: both })).status).toBe(403);
    const headers = { forwarded: "for=192.0.2.1;proto=https" };
    const agent = await RawAgent.dial(world.relay.origin, { token: "tunnel-token", headers });
    agent.ws.send(encodeControlMessage(HELLO));
    await agent.next("welcome");
    expect(await agent.bind({ url: "raw" })).toMatchObject({
      url: expect.stringMatching(/^https:\/\/raw\.localhost/u),
    });
    agent.terminate();
  });

  it("of a peer that is not trusted cannot be forged", async () => {
    await using world = await World.start(["--trust-proxy", "none"]);
    const url = await world.open(["--cidr-allow", "192.0.2.0/24"]);
    const headers = { "x-forwarded-for": "192.0.2.1", forwarded: "for=192.0.2.1", "x-real-ip": "192.0.2.1" };
    expect((await visit(url, "/", { headers })).status).toBe(403);
  });

  it("have a rate each", async () => {
    await using world = await World.start();
    const url = await world.open(["--rate-limit", "1/m:3"]);
    const from = (address: string): ReturnType<typeof visit> =>
      visit(url, "/", { headers: { "x-forwarded-for": address } });
    const answers = await Promise.all(["192.0.2.1", "192.0.2.1", "192.0.2.1"].map(from));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    const refused = await from("192.0.2.1");
    expect([refused.status, refused.headers["ggrok-error"]]).toEqual([429, "ERR_GGROK_VISITOR_RATE_LIMITED"]);
    expect(Number(refused.headers["retry-after"])).toBeGreaterThan(30);
    expect((await from("192.0.2.2")).status).toBe(200);
  });
});

describe("agents that share a name", () => {
  it("need the same rules", async () => {
    await using world = await World.start();
    const flags = ["--pooling-enabled", "--basic-auth", "ada:s3cret", "--open", "/a,/b"];
    await world.open(flags);
    await using other = new Place({ GGROK_AUTHTOKEN: "tunnel-token" });
    const start = (more: readonly string[]): Program =>
      other.ggrok(["http", "--relay", world.relay.origin, "--url", "shop", String(world.app.port), ...more]);
    await using different = start(["--pooling-enabled"]);
    expect(await different.exited).toBe(5);
    expect(different.stderr).toContain("has other rules for visitors: those who pool need the same flags");
    await using same = start(["--open", "/b", "--open", "/a", "--basic-auth", "ada:s3cret", "--pooling-enabled"]);
    expect(await same.line()).toContain("shop.localhost");
  });
});

describe("wrong flags", () => {
  it.each([
    [["--basic-auth", "ada"], "user:password"],
    [["--basic-auth", "env:NO_SUCH"], "NO_SUCH is not set"],
    [["--rate-limit", "fast"], "is no rate"],
    [["--cidr-allow", "10.0.0.0/99"], "no network"],
    [["--open", "hooks"], "is no path"],
  ])("end with a sentence: %j", async (flags, text) => {
    await using place = new Place();
    await using agent = place.ggrok(["http", "--relay", "http://localhost:1", "3000", ...flags]);
    expect(await agent.exited).toBe(2);
    expect(agent.stderr).toContain(text);
  });
});
