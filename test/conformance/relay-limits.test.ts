// Limits of the relay that take tens of thousands of anything, or minutes: reached here with smaller numbers.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { encodeControlMessage, encodeResponseHead, FrameType } from "@ggrok/protocol";
import { createRelay, type Relay, type RelayOptions } from "@ggrok/server";
import { afterEach, describe, expect, it, vi } from "vitest";
import { freePort } from "../e2e/cli-world.ts";
import { HELLO, RawAgent, tryUpgrade } from "../e2e/raw-agent.ts";
import { valuesOf } from "../harness/byte-reader.ts";
import { eventually, within } from "../harness/deadline.ts";
import { type RawAnswer, RawClient } from "../harness/raw-client.ts";

// The numbers alone; everything that looks at them is the relay's own.
vi.mock(import("../../packages/server/src/limits.ts"), async (original) => {
  const { RELAY_LIMITS } = await original();
  const smaller = {
    maxConnections: 30,
    maxConnectionsPerPort: 4,
    keepAliveMs: 400,
    maxGreetings: 3,
    handshakesPerSecond: 1,
    handshakeBurst: 12,
    maxSessions: 6,
    maxSessionsPerPrincipal: 4,
    maxParkedPerEndpoint: 3,
    disconnectMs: 300,
    drainsPerSecond: 2,
  };
  return { RELAY_LIMITS: { ...RELAY_LIMITS, ...smaller } as unknown as typeof RELAY_LIMITS };
});

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each[Symbol.asyncDispose]();
});

async function start(options: RelayOptions = {}): Promise<Relay> {
  const settings = { bind: "127.0.0.1", domain: "localhost", token: ["alice", "bob"], hold: "30s", park: "20s" };
  const relay = await createRelay({ ...settings, ...options });
  open.push({ [Symbol.asyncDispose]: () => relay.destroy() });
  return relay;
}

async function visit(relay: Relay, first = ""): Promise<RawClient> {
  const visitor = await RawClient.connect(relay.port, { first });
  open.push(visitor);
  return visitor;
}

function get(host: string, ...lines: string[]): string {
  return `${[`GET / HTTP/1.1`, `Host: ${host}`, ...lines].join("\r\n")}\r\n\r\n`;
}

function codeOf(answer: RawAnswer | undefined): string {
  return `${String(answer?.status)} ${valuesOf(answer?.fields ?? [], "ggrok-error").join()}`;
}

let count = 0;
async function dial(relay: Relay, token: string): Promise<RawAgent> {
  const agent = await RawAgent.dial(`http://localhost:${String(relay.port)}`, { token });
  open.push({
    [Symbol.asyncDispose]: async () => {
      agent.terminate();
      await agent.closed;
    },
  });
  return agent;
}

/** Says hello as an agent of its own; the answer is the relay's first message. */
async function greet(relay: Relay, token: string): Promise<{ agent: RawAgent; answer: string }> {
  const agent = await dial(relay, token);
  count += 1;
  const id = `limit-agent-${String(count)}`;
  agent.ws.send(encodeControlMessage({ ...HELLO, agentId: id, instance: id }));
  const answer = await agent.next("welcome", "refused");
  return { agent, answer: answer.type === "welcome" ? "welcome" : answer.code };
}

describe("connections", () => {
  it("above maxConnections are closed at accept, and taken again when others have gone", async () => {
    const relay = await start();
    const held = await Promise.all(Array.from({ length: 30 }, () => visit(relay)));
    const refused = await visit(relay, get("localhost"));
    expect(await refused.answer()).toBeUndefined();
    for (const visitor of held) visitor.reset();
    let status: number | undefined;
    const deadline = performance.now() + 10_000;
    while (status === undefined && performance.now() < deadline)
      status = (await (await visit(relay, get("localhost"))).answer())?.status;
    expect(status).toBe(404);
  });

  it("above maxConnectionsPerPort are closed at the port of a TCP tunnel alone", async () => {
    const port = await freePort();
    const relay = await start({ tcpPorts: String(port) });
    const { agent } = await greet(relay, "alice");
    expect(await agent.bind({ kind: "tcp", url: "tcp://db" })).toMatchObject({ type: "bound" });
    const sockets: Socket[] = [];
    for (let i = 0; i < 4; i += 1) {
      const socket = connect(port, "127.0.0.1");
      sockets.push(socket);
      await agent.opened();
    }
    const refused = connect(port, "127.0.0.1");
    refused.resume();
    refused.on("error", () => {});
    await within("the fifth to be closed", new Promise((resolve) => refused.once("close", resolve)));
    expect((await (await visit(relay, get("localhost"))).answer())?.status).toBe(404);
    for (const socket of sockets) socket.destroy();
  });

  it("are closed keepAliveMs after their last answer", async () => {
    const relay = await start();
    const visitor = await visit(relay, get("localhost"));
    expect((await visitor.answer())?.status).toBe(404);
    await within("the end of the idle connection", visitor.ended());
  });

  it.runIf(process.platform === "linux")("ask for a vanished visitor after tcpKeepAliveMs", async () => {
    const relay = await start();
    await visit(relay, get("localhost"));
    const local = `0100007F:${relay.port.toString(16).toUpperCase().padStart(4, "0")}`;
    /** Timer and its 1/100 s of the accepted connection, as the kernel lists them. */
    const timer = (): string | undefined =>
      readFileSync("/proc/net/tcp", "utf8")
        .split("\n")
        .map((line) => line.trim().split(/\s+/u))
        .find((cells) => cells[1] === local && cells[3] === "01")?.[5];
    await eventually(
      () => `a keep-alive timer, not ${String(timer())}`,
      () => timer()?.startsWith("02:") === true,
    );
    const when = Number.parseInt(timer()?.slice(3) ?? "", 16) / 100;
    expect(when).toBeGreaterThan(30);
    expect(when).toBeLessThanOrEqual(60);
  });
});

describe("agents", () => {
  it("above handshakesPerSecond and handshakeBurst are sent away for a while; wrong tokens take nobody's place", async () => {
    const relay = await start();
    const url = `http://localhost:${String(relay.port)}`;
    for (let i = 0; i < 30; i += 1) expect((await tryUpgrade(url, { authorization: "Bearer wrong" })).status).toBe(401);
    let admitted = 0;
    let refused: Awaited<ReturnType<typeof tryUpgrade>> | undefined;
    // One after the other; that too many have not said hello yet is another refusal.
    for (let i = 0; i < 500 && refused === undefined; i += 1) {
      const answer = await tryUpgrade(url, { authorization: "Bearer alice" });
      if (answer.status === 101) admitted += 1;
      else if (answer.body.includes("agents a second")) refused = answer;
    }
    expect(admitted).toBeGreaterThanOrEqual(12);
    expect([refused?.status, refused?.headers["retry-after"]]).toEqual([503, "1"]);
  });

  it("above maxGreetings that have said nothing yet are sent away for a while", async () => {
    const relay = await start();
    const silent = await Promise.all(Array.from({ length: 3 }, () => dial(relay, "alice")));
    const url = `http://localhost:${String(relay.port)}`;
    const refused = await tryUpgrade(url, { authorization: "Bearer alice" });
    expect([refused.status, refused.body]).toEqual([503, expect.stringContaining("ERR_GGROK_RELAY_OVERLOADED")]);
    expect(refused.headers["retry-after"]).toBeDefined();
    silent[0]?.terminate();
    let status = 503;
    const deadline = performance.now() + 10_000;
    while (status === 503 && performance.now() < deadline)
      ({ status } = await tryUpgrade(url, { authorization: "Bearer alice" }));
    expect(status).toBe(101);
  });

  it("above maxSessionsPerPrincipal of one token, and above maxSessions of all, are refused", async () => {
    const relay = await start({ hold: "0s" });
    const answers: string[] = [];
    for (const token of ["alice", "alice", "alice", "alice", "alice", "bob", "bob", "bob"])
      answers.push((await greet(relay, token)).answer);
    expect(answers).toEqual([
      ...Array.from({ length: 4 }, () => "welcome"),
      "ERR_GGROK_LIMIT_REACHED",
      "welcome",
      "welcome",
      "ERR_GGROK_RELAY_OVERLOADED",
    ]);
  });

  it("that ask for more than maxPendingBinds held names at once are refused the others", async () => {
    const relay = await start();
    const [{ agent: holder }, { agent: other }] = [await greet(relay, "alice"), await greet(relay, "alice")];
    for (let bind = 1; bind <= 40; bind += 1) await holder.bind({ bind, url: `n${String(bind)}` });
    // The holder answers no PING, so each of these waits for two seconds.
    for (let bind = 1; bind <= 40; bind += 1)
      other.control({ type: "bind", bind, kind: "http", ageMs: 0, url: `n${String(bind)}` });
    for (let i = 0; i < 8; i += 1)
      expect(await other.next("bound", "bind-refused")).toMatchObject({
        type: "bind-refused",
        message: "32 binds are still undecided",
      });
    for (let i = 0; i < 32; i += 1) expect(await other.next("bound", "bind-refused")).toMatchObject({ type: "bound" });
  });

  it("that the operator ends have disconnectMs for what is open", async () => {
    const relay = await start({ adminToken: "root" });
    const { agent } = await greet(relay, "alice");
    await agent.bind({ url: "app" });
    const visitor = await visit(relay, get("app.localhost"));
    const { id } = await agent.opened();
    agent.frame(
      FrameType.Head,
      0,
      id,
      encodeResponseHead({ status: 200, reason: "", fields: ["Content-Length", "9"] }),
    );
    await visitor.head();
    const api = `http://127.0.0.1:${String(relay.port)}/$$ggrok/api/v1/sessions`;
    const headers = { authorization: "Bearer root" };
    const { sessions } = (await (await fetch(api, { headers })).json()) as { sessions: { id: string }[] };
    await fetch(`${api}/${String(sessions[0]?.id)}`, { method: "DELETE", headers });
    await within("the end of the session", agent.closed);
    expect(await visitor.ended()).not.toBe("open");
  });
});

describe("a drain", () => {
  it("lets agents be told to leave one after the other, drainsPerSecond of them", async () => {
    const relay = await start({ hold: "0s" });
    const agents: RawAgent[] = [];
    for (const token of ["alice", "alice", "alice", "bob", "bob", "bob"])
      agents.push((await greet(relay, token)).agent);
    const told = agents.map(async (agent) => {
      await agent.next("drain");
      return performance.now();
    });
    const closed = relay.close(10_000);
    const times = (await within("all to be told", Promise.all(told))).sort((a, b) => a - b);
    // Six at two a second: the last is told two seconds and a half behind the first.
    expect((times.at(-1) ?? 0) - (times[0] ?? 0)).toBeGreaterThan(1_000);
    for (const agent of agents) agent.terminate();
    await within("the relay to close", closed, 20_000);
  });
});

describe("requests that wait for an agent", () => {
  it("above maxParkedPerEndpoint are told at once that the relay is full", async () => {
    // Names that could be bound may come back after the start; all of them wait in one place.
    const relay = await start({ adminToken: "root" });
    const waiting = [await visit(relay, get("app.localhost")), await visit(relay, get("app.localhost"))];
    waiting.push(await visit(relay, get("app.localhost")));
    const parked = async (): Promise<number> => {
      const answer = await fetch(`http://127.0.0.1:${String(relay.port)}/$$ggrok/api/v1/status`, {
        headers: { authorization: "Bearer root" },
      });
      return Number(((await answer.json()) as { parkedExchanges: number }).parkedExchanges);
    };
    while ((await parked()) < 3);
    expect(codeOf(await (await visit(relay, get("app.localhost"))).answer())).toBe("503 ERR_GGROK_RELAY_OVERLOADED");
    const { agent } = await greet(relay, "alice");
    await agent.bind({ bind: 1, url: "app" });
    for (const visitor of waiting) {
      const { id } = await agent.opened();
      agent.frame(FrameType.Head, 1, id, encodeResponseHead({ status: 204, reason: "", fields: [] }));
      expect(visitor.socket.destroyed).toBe(false);
    }
    expect((await Promise.all(waiting.map((visitor) => visitor.answer()))).map((it) => it?.status)).toEqual([
      204, 204, 204,
    ]);
    expect(await parked()).toBe(0);
  });
});

it("a connection that is refused and not closed by the visitor is cut after closeLingerMs", async () => {
  const relay = await start();
  const visitor = await visit(relay, "GARBAGE\r\n\r\n");
  expect((await visitor.answer())?.status).toBe(400);
  const { socket } = visitor;
  const writing = setInterval(() => socket.write("more\r\n"), 50);
  try {
    await within("the connection to be cut", once(socket, "error"), 10_000);
  } finally {
    clearInterval(writing);
  }
});
