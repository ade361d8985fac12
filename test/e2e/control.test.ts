import { once } from "node:events";
import { PassThrough } from "node:stream";
import { encodeControlMessage, encodeResponseHead, FLAG_FIN, FrameType } from "@ggrok/protocol";
import { createRelay, type Relay, type RelayOptions } from "@ggrok/server";
import { afterEach, describe, expect, it } from "vitest";
import { HELLO, RawAgent, tryUpgrade } from "./raw-agent.ts";

const relays: Relay[] = [];
const agents: RawAgent[] = [];

async function startRelay(options: RelayOptions = {}): Promise<Relay> {
  const relay = await createRelay({ token: "good", bind: "127.0.0.1", hold: "0s", ...options });
  relays.push(relay);
  return relay;
}

function base(relay: Relay): string {
  return `http://127.0.0.1:${String(relay.port)}`;
}

const TOKEN = { token: "good" };

async function online(
  relay: Relay,
  hello: Partial<typeof HELLO> = {},
): Promise<Awaited<ReturnType<typeof RawAgent.online>>> {
  const pair = await RawAgent.online(base(relay), hello, TOKEN);
  agents.push(pair[0]);
  return pair;
}

async function dial(relay: Relay): Promise<RawAgent> {
  const agent = await RawAgent.dial(base(relay), TOKEN);
  agents.push(agent);
  return agent;
}

afterEach(async () => {
  for (const agent of agents.splice(0)) agent.terminate();
  await Promise.all(relays.splice(0).map((relay) => relay.destroy()));
});

describe("before the upgrade", () => {
  it("takes a good token", async () => {
    const relay = await startRelay();
    const answer = await tryUpgrade(base(relay), { authorization: "Bearer good" });
    expect([
      answer.status,
      answer.headers["sec-websocket-protocol"],
      answer.headers["sec-websocket-extensions"],
    ]).toEqual([101, "ggrok.v1", undefined]);
  });

  it("does not negotiate compression, offered or not", async () => {
    const relay = await startRelay();
    const answer = await tryUpgrade(base(relay), {
      authorization: "Bearer good",
      "sec-websocket-extensions": "permessage-deflate; client_max_window_bits",
    });
    expect([answer.status, answer.headers["sec-websocket-extensions"]]).toEqual([101, undefined]);
  });

  it.each([
    ["no token", {}],
    ["a wrong token", { authorization: "Bearer bad" }],
    ["a right and a wrong token", { authorization: ["Bearer good", "Bearer bad"] }],
    ["a token in a cookie", { cookie: "token=good" }],
  ])("refuses %s with 401", async (_, headers) => {
    const relay = await startRelay();
    const answer = await tryUpgrade(base(relay), headers);
    expect(answer.status).toBe(401);
    expect(answer.headers).toMatchObject({
      "ggrok-error": "ERR_GGROK_TOKEN_REFUSED",
      "www-authenticate": "Bearer",
      "cache-control": "no-store",
    });
    expect(JSON.parse(answer.body)).toMatchObject({ code: "ERR_GGROK_TOKEN_REFUSED", supported: ["ggrok.v1"] });
  });

  it("does not take a token from the query", async () => {
    const relay = await startRelay();
    expect((await tryUpgrade(base(relay), {}, "/$$ggrok?token=good&authtoken=good")).status).toBe(401);
  });

  it.each([["ggrok.v2"], ["chat, ggrok.v10"], [""]])(
    "refuses the subprotocol %j with 426 and names its own",
    async (offered) => {
      const relay = await startRelay();
      const answer = await tryUpgrade(base(relay), { authorization: "Bearer good", "sec-websocket-protocol": offered });
      expect(answer.status).toBe(426);
      expect(JSON.parse(answer.body)).toMatchObject({ code: "ERR_GGROK_VERSION_UNSUPPORTED", supported: ["ggrok.v1"] });
    },
  );

  it("picks its own subprotocol among several", async () => {
    const relay = await startRelay();
    const answer = await tryUpgrade(base(relay), {
      authorization: "Bearer good",
      "sec-websocket-protocol": "chat, ggrok.v1",
    });
    expect([answer.status, answer.headers["sec-websocket-protocol"]]).toEqual([101, "ggrok.v1"]);
  });

  it("refuses web pages, with a good token and in every mode", async () => {
    for (const options of [{}, { token: [], allowAnonymous: true }, { token: [] }]) {
      const relay = await startRelay(options);
      const answer = await tryUpgrade(base(relay), { authorization: "Bearer good", origin: "http://localhost" });
      expect([answer.status, JSON.parse(answer.body)]).toMatchObject([403, { code: "ERR_GGROK_ORIGIN_REFUSED" }]);
    }
  });

  it("takes agents from loopback without a token, but not through a front end", async () => {
    const relay = await startRelay({ token: [] });
    expect((await tryUpgrade(base(relay))).status).toBe(101);
    expect((await tryUpgrade(base(relay), { "x-forwarded-for": "127.0.0.1" })).status).toBe(401);
    expect((await tryUpgrade(base(relay), { forwarded: "for=127.0.0.1" })).status).toBe(401);
  });

  it("has a path for connectors and no others, and tells a plain GET what the path is for", async () => {
    const relay = await startRelay();
    const authorization = "Bearer good";
    expect((await tryUpgrade(base(relay), { authorization }, "/$$ggrok/connect/db")).status).toBe(101);
    for (const path of ["/$$ggrok/agents", "/$$ggrok/connect", "/$$ggrok/connect/"])
      expect([path, (await tryUpgrade(base(relay), { authorization }, path)).status]).toEqual([path, 404]);
    const answer = await fetch(`${base(relay)}/$$ggrok`);
    expect([answer.status, await answer.json()]).toMatchObject([426, { supported: ["ggrok.v1"] }]);
  });

  it("keeps the reserved prefix to its own hosts in wildcard mode", async () => {
    const relay = await startRelay({ domain: "t.example" });
    expect((await tryUpgrade(base(relay), { authorization: "Bearer good", host: "app.t.example" })).status).toBe(404);
    expect((await tryUpgrade(base(relay), { authorization: "Bearer good", host: "t.example" })).status).toBe(101);
  });
});

describe("the first message", () => {
  it("is answered with welcome", async () => {
    const relay = await startRelay({ domain: "t.example", hold: "20s" });
    const [, welcome] = await online(relay);
    expect(welcome).toMatchObject({
      version: "1.0",
      capabilities: ["resume"],
      heartbeat: { intervalMs: 5_000, timeoutMs: 12_500 },
      holdMs: 20_000,
      resumed: false,
      received: 0,
      slots: 1,
      domain: "t.example",
    });
    expect(Buffer.from(welcome.secret, "base64url").length).toBe(32);
  });

  it("must come within five seconds", async () => {
    const relay = await startRelay();
    const agent = await dial(relay);
    const refused = await agent.next("refused");
    expect(refused).toMatchObject({ code: "ERR_GGROK_HANDSHAKE_TIMEOUT", retry: "after" });
    expect((await agent.closed).code).toBe(4408);
  });

  it("must be hello", async () => {
    const relay = await startRelay();
    const agent = await dial(relay);
    agent.control({ type: "bind", bind: 1, kind: "http", ageMs: 0 });
    expect((await agent.closed).code).toBe(1002);
  });

  it.each([
    ["a text message", (agent: RawAgent) => agent.ws.send("{}"), 1003],
    ["an empty message", (agent: RawAgent) => agent.ws.send(Buffer.alloc(0)), 1002],
    ["noise", (agent: RawAgent) => agent.ws.send(Buffer.alloc(500, 0xa5)), 1002],
    ["an incomplete hello", (agent: RawAgent) => agent.control({ type: "hello", role: "agent" }), 1002],
  ])("ends the connection when it is %s", async (_, send, code) => {
    const relay = await startRelay();
    const agent = await dial(relay);
    send(agent);
    expect((await agent.closed).code).toBe(code);
    await online(relay);
  });

  it("is refused for a role the relay does not have", async () => {
    const relay = await startRelay();
    const agent = await dial(relay);
    agent.ws.send(encodeControlMessage({ ...HELLO, role: "relay" }));
    expect(await agent.next("refused")).toMatchObject({ retry: "never", supported: ["ggrok.v1"] });
  });

  it("may carry keys and capabilities of a newer version", async () => {
    const relay = await startRelay();
    const agent = await dial(relay);
    agent.control({ ...HELLO, capabilities: ["resume", "x-later"], "x-new": { deep: [1] } });
    expect((await agent.next("welcome")).capabilities).toEqual(["resume"]);
  });

  it("may come only once", async () => {
    const relay = await startRelay();
    const [agent] = await online(relay);
    agent.control(HELLO);
    expect((await agent.closed).code).toBe(1002);
  });
});

describe("an open session", () => {
  it("ignores messages of unknown type and unknown keys of known ones", async () => {
    const relay = await startRelay();
    const [agent] = await online(relay);
    agent.control({ type: "x-weather", sunny: true });
    agent.control({ type: "bind", bind: 1, kind: "http", ageMs: 0, "x-colour": "blue" });
    expect(await agent.next("bound", "bind-refused")).toMatchObject({ type: "bound", url: base(relay) });
  });

  it("ends at a text message", async () => {
    const relay = await startRelay();
    const [agent] = await online(relay);
    agent.ws.send("hello");
    expect((await agent.closed).code).toBe(1003);
  });

  it("ends at a message in more fragments than any intermediary makes", async () => {
    const relay = await startRelay();
    const [agent] = await online(relay);
    for (let i = 0; i < 400 && agent.ws.readyState === agent.ws.OPEN; i += 1)
      agent.ws.send(Buffer.alloc(1), { fin: false });
    expect([1002, 1006, 1008, 1009]).toContain((await agent.closed).code);
  });

  it("lets the relay open streams at it, and not the reverse", async () => {
    const relay = await startRelay();
    const [agent] = await online(relay);
    await agent.bind();
    const answer = fetch(`${base(relay)}/hi`);
    const { id, head } = await agent.opened();
    expect(head).toMatchObject({ kind: "http", bind: 1, method: "GET", target: "/hi" });
    agent.frame(FrameType.Head, FLAG_FIN, id, encodeResponseHead({ status: 204, reason: "", fields: ["x-by", "raw"] }));
    const response = await answer;
    expect([response.status, response.headers.get("x-by")]).toEqual([204, "raw"]);
  });

  it("refuses what cannot be bound, and goes on", async () => {
    const relay = await startRelay({ domain: "t.example" });
    const [agent] = await online(relay);
    for (const wish of [{ url: "https://hooks.acme.com" }, { url: "t.example" }, { kind: "tcp", url: "tcp://a b" }]) {
      expect(await agent.bind(wish as { url: string })).toMatchObject({
        type: "bind-refused",
        code: "ERR_GGROK_NAME_NOT_ALLOWED",
        retry: "never",
      });
    }
    expect(await agent.bind({ url: "app" })).toMatchObject({
      type: "bound",
      url: `http://app.t.example:${String(relay.port)}`,
    });
  });

  it("frees its names with unbind", async () => {
    const relay = await startRelay({ token: ["good", "other"] });
    const [agent] = await online(relay);
    await agent.bind();
    const [other] = await RawAgent.online(
      base(relay),
      { agentId: "other-agent", instance: "other-instance" },
      { token: "other" },
    );
    agents.push(other);
    expect(await other.bind()).toMatchObject({ type: "bind-refused", code: "ERR_GGROK_NAME_TAKEN" });
    agent.control({ type: "unbind", bind: 1 });
    await agent.bind({ bind: 2, url: `${base(relay)}/elsewhere` });
    expect(await other.bind()).toMatchObject({ type: "bound" });
  });
});

describe("a broken link", () => {
  it("is mended by the session's secret, and streams go on", async () => {
    const relay = await startRelay({ hold: "20s" });
    const [first, welcome] = await online(relay);
    await first.bind();
    const answer = fetch(`${base(relay)}/slow`);
    const { id } = await first.opened();
    const { received } = first;
    first.terminate();
    const resume = { session: welcome.session, secret: welcome.secret, received };
    const [second, again] = await online(relay, { attempt: 2, resume });
    expect(again).toMatchObject({ resumed: true, session: welcome.session });
    expect(again.secret).not.toBe(welcome.secret);
    second.frame(FrameType.Head, FLAG_FIN, id, encodeResponseHead({ status: 204, reason: "", fields: [] }));
    expect((await answer).status).toBe(204);
  });

  it("may lose the welcome: the secret before it is still good, until a message came under the new one", async () => {
    const relay = await startRelay({ hold: "20s" });
    const [first, welcome] = await online(relay);
    first.terminate();
    const resume = { session: welcome.session, secret: welcome.secret, received: 0 };
    const [second, lost] = await online(relay, { attempt: 2, resume });
    second.terminate();
    const [third, again] = await online(relay, { attempt: 3, resume });
    expect([lost.resumed, again.resumed]).toEqual([true, true]);
    // The name shows that the message has arrived before the link breaks again.
    await third.bind();
    third.terminate();
    const [, refused] = await online(relay, { attempt: 4, resume });
    expect(refused.resumed).toBe(false);
  });

  it("may also lose its end right after the welcome: the secret in it is good too", async () => {
    const relay = await startRelay({ hold: "20s" });
    const [first, welcome] = await online(relay);
    first.terminate();
    const [second, next] = await online(relay, {
      attempt: 2,
      resume: { session: welcome.session, secret: welcome.secret, received: 0 },
    });
    second.terminate();
    const [, again] = await online(relay, {
      attempt: 3,
      resume: { session: next.session, secret: next.secret, received: 0 },
    });
    expect(again.resumed).toBe(true);
  });

  it("is not mended with a wrong secret, from another process or under another token", async () => {
    const relay = await startRelay({ token: ["good", "other"], hold: "20s" });
    const [first, welcome] = await online(relay);
    await first.bind();
    const resume = { session: welcome.session, secret: welcome.secret, received: 0 };
    const [, otherProcess] = await online(relay, { instance: "other-instance", resume });
    const [thief, otherToken] = await RawAgent.online(base(relay), { attempt: 2, resume }, { token: "other" });
    agents.push(thief);
    expect([otherProcess.resumed, otherToken.resumed]).toEqual([false, false]);
    const [, wrong] = await online(relay, { attempt: 2, resume: { ...resume, secret: "x".repeat(43) } });
    expect(wrong.resumed).toBe(false);
  });

  it("refuses an earlier attempt that comes late, and leaves the newer one alone", async () => {
    const relay = await startRelay();
    const [newer] = await online(relay, { attempt: 2 });
    await newer.bind();
    const late = await dial(relay);
    late.ws.send(encodeControlMessage({ ...HELLO, attempt: 1 }));
    expect(await late.next("refused")).toMatchObject({ code: "ERR_GGROK_SUPERSEDED", retry: "never" });
    expect((await late.closed).code).toBe(4409);
    expect(await newer.bind({ bind: 2, url: `${base(relay)}/still` })).toMatchObject({ type: "bound" });
  });

  it("ends in peace, but a process leaves one behind at a time", async () => {
    const relay = await startRelay({ hold: "20s" });
    const [first] = await online(relay);
    const [second] = await online(relay, { attempt: 2 });
    await online(relay, { attempt: 3 });
    await first.closed;
    expect(second.ws.readyState).toBe(second.ws.OPEN);
  });

  it("hears nothing more from a connection that was replaced", async () => {
    const relay = await startRelay({ hold: "20s", park: "0s" });
    const [old, welcome] = await online(relay);
    const resume = { session: welcome.session, secret: welcome.secret, received: 0 };
    const [next, again] = await online(relay, { attempt: 2, resume });
    expect(again.resumed).toBe(true);
    old.control({ type: "bind", bind: 9, kind: "http", ageMs: 0 });
    expect((await old.closed).code).toBe(1006);
    await next.bind({ bind: 1, url: `${base(relay)}/mine` });
    // Had the old connection been heard, its bind of every host would take this one.
    expect((await fetch(`${base(relay)}/not-bound`)).status).toBe(503);
  });

  it("leaves the names with the process for the hold time", async () => {
    const relay = await startRelay({ token: ["good", "other"], hold: "20s" });
    const [agent] = await online(relay, { capabilities: [] });
    const bound = await agent.bind({ ageMs: 5_000 });
    agent.terminate();
    await agent.closed;
    const [other] = await RawAgent.online(
      base(relay),
      { agentId: "other-agent", instance: "other-instance" },
      { token: "other" },
    );
    agents.push(other);
    expect(await other.bind({ takeover: true })).toMatchObject({ type: "bind-refused", code: "ERR_GGROK_NAME_TAKEN" });
    const [back] = await online(relay, { attempt: 2, capabilities: [] });
    expect(await back.bind()).toEqual(bound);
  });

  it("is accounted for by an agent that lost its session: what it never dispatched is sent again", async () => {
    const relay = await startRelay({ hold: "20s" });
    const [first, welcome] = await online(relay, { capabilities: [] });
    await first.bind();
    const answer = fetch(`${base(relay)}/once`, { method: "POST", body: "x" });
    const { id } = await first.opened();
    first.terminate();
    const previous = { session: welcome.session, secret: welcome.secret, lastStream: id, undispatched: [id] };
    const [second] = await online(relay, { attempt: 2, capabilities: [], previous });
    await second.bind();
    const again = await second.opened();
    expect(again.head).toMatchObject({ method: "POST", target: "/once" });
    second.frame(FrameType.Head, FLAG_FIN, again.id, encodeResponseHead({ status: 204, reason: "", fields: [] }));
    expect((await answer).status).toBe(204);
  });

  it("answers 502 for what had been dispatched", async () => {
    const relay = await startRelay({ hold: "20s" });
    const [first, welcome] = await online(relay, { capabilities: [] });
    await first.bind();
    const answer = fetch(`${base(relay)}/once`, { method: "POST", body: "x" });
    const { id } = await first.opened();
    first.terminate();
    const previous = { session: welcome.session, secret: welcome.secret, lastStream: id, undispatched: [] };
    await online(relay, { attempt: 2, capabilities: [], previous });
    const response = await answer;
    expect([response.status, response.headers.get("ggrok-error")]).toEqual([502, "ERR_GGROK_SESSION_LOST"]);
  });
});

describe("takeover", () => {
  it("tells the agent that lost its name, and who has it", async () => {
    const relay = await startRelay();
    const [old] = await online(relay);
    await old.bind();
    const [next] = await online(relay, { instance: "next-instance", label: "next on laptop" });
    expect(await next.bind()).toMatchObject({ type: "bound" });
    expect(await old.next("unbound")).toMatchObject({
      bind: 1,
      code: "ERR_GGROK_TAKEN_OVER",
      holder: "next on laptop",
    });
  });

  it("ends a lost session whose names are gone, and what it was given", async () => {
    const relay = await startRelay({ hold: "20s" });
    const [old, welcome] = await online(relay);
    await old.bind();
    const answer = fetch(`${base(relay)}/once`, { method: "POST", body: "x" });
    await old.opened();
    old.terminate();
    const [next] = await online(relay, { instance: "next-instance" });
    expect(await next.bind()).toMatchObject({ type: "bound" });
    expect((await answer).headers.get("ggrok-error")).toBe("ERR_GGROK_SESSION_LOST");
    const resume = { session: welcome.session, secret: welcome.secret, received: old.received };
    expect((await online(relay, { attempt: 2, resume }))[1].resumed).toBe(false);
  });

  it("asks a living holder of another agent first", async () => {
    const relay = await startRelay();
    const [holder] = await online(relay, { label: "holder" });
    await holder.bind();
    // The raw agent answers no PING, so the holder is silent and loses after two seconds.
    const [next] = await online(relay, { agentId: "next-agent", instance: "next-instance" });
    const started = performance.now();
    expect(await next.bind()).toMatchObject({ type: "bound" });
    expect(performance.now() - started).toBeGreaterThan(1_900);
  });
});

describe("a relay that drains", () => {
  it("says so, tells agents to move, finishes what is open and frees its port", async () => {
    const log = new PassThrough();
    const relay = await startRelay({ logDestination: log });
    const [agent] = await online(relay);
    await agent.bind();
    const answer = fetch(`${base(relay)}/last`);
    const { id } = await agent.opened();
    const closed = relay.close();
    expect(await agent.next("drain")).toMatchObject({ reconnect: "now" });
    await expect(fetch(`${base(relay)}/$$ggrok/health`)).rejects.toThrow();
    const next = await createRelay({ port: relay.port, bind: "127.0.0.1" });
    relays.push(next);
    agent.frame(FrameType.Head, FLAG_FIN, id, encodeResponseHead({ status: 204, reason: "", fields: [] }));
    const goAway = Buffer.alloc(6);
    agent.frame(FrameType.GoAway, 0, 0, goAway);
    expect((await answer).status).toBe(204);
    await closed;
    expect((await agent.closed).code).toBe(1001);
    const events = String(log.read())
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { event: string }).event);
    expect(events[0]).toBe("relay.listening");
    for (const event of ["session.online", "endpoint.bound", "relay.draining", "exchange"])
      expect(events).toContain(event);
  });

  it("ends at once when nothing is open", async () => {
    const relay = await startRelay({ grace: "20s" });
    const started = performance.now();
    await relay.close();
    expect(performance.now() - started).toBeLessThan(1_000);
  });

  it("breaks off what is left at the end of the grace time", async () => {
    const relay = await startRelay({ grace: "500ms" });
    const [agent] = await online(relay);
    await agent.bind();
    const answer = fetch(`${base(relay)}/for-ever`);
    await agent.opened();
    await relay.close();
    const response = await answer.catch(() => undefined);
    expect(response === undefined || response.status >= 500).toBe(true);
    await agent.closed;
  });
});

describe("the relay's own paths", () => {
  it("are open for health and readiness, and closed for metrics", async () => {
    const relay = await startRelay({ adminToken: "root" });
    const get = async (path: string, headers: Record<string, string> = {}): Promise<[number, string]> => {
      const response = await fetch(`${base(relay)}/$$ggrok/${path}`, { headers });
      return [response.status, await response.text()];
    };
    expect(await get("health")).toEqual([200, '{"status":"ok"}']);
    expect(await get("ready")).toEqual([200, '{"status":"ready"}']);
    expect((await get("nope"))[0]).toBe(404);
    expect((await get("metrics"))[0]).toBe(401);
    expect((await get("metrics", { authorization: "Bearer good" }))[0]).toBe(401);
    const [status, text] = await get("metrics", { authorization: "Bearer root" });
    expect([status, text.includes("ggrok_control_sessions 0\n")]).toEqual([200, true]);
  });

  it("have no metrics without an admin token", async () => {
    const relay = await startRelay();
    expect((await fetch(`${base(relay)}/$$ggrok/metrics`, { headers: { authorization: "Bearer " } })).status).toBe(404);
  });

  it("cannot be reached through a tunnel's host, however the host is spelt", async () => {
    const relay = await startRelay({ domain: "t.example", adminToken: "root", hold: "0s" });
    for (const host of ["app.t.example", "t.example.evil", "xt.example"]) {
      const answer = await tryUpgrade(
        base(relay),
        { host, upgrade: "none", authorization: "Bearer root", "x-forwarded-host": "t.example" },
        "/$$ggrok/metrics",
      );
      expect(answer.status).toBe(404);
      expect(answer.body).not.toContain("ggrok_control_sessions");
    }
  });
});

it("names every wrong option at once", async () => {
  await expect(createRelay({ port: 99_999, hold: "soon", domain: "*.x" })).rejects.toMatchObject({
    code: "ERR_GGROK_CONFIG_INVALID",
    message: expect.stringMatching(/port .*; domain .*; hold /u) as string,
  });
});

it("says which port is taken", async () => {
  const relay = await startRelay();
  await expect(createRelay({ port: relay.port, bind: "127.0.0.1" })).rejects.toMatchObject({ code: "EADDRINUSE" });
});

it("closes connections that never send a whole head", { timeout: 20_000 }, async () => {
  const { connect } = await import("node:net");
  const relay = await startRelay();
  const socket = connect(relay.port, "127.0.0.1");
  socket.write("GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ");
  socket.resume();
  const started = performance.now();
  await once(socket, "close", { signal: AbortSignal.timeout(16_000) });
  expect(performance.now() - started).toBeLessThan(15_000);
});
