import { createRelay } from "@ggrok/server";
import { describe, expect, it } from "vitest";
import { eventually, within } from "../harness/deadline.ts";
import { AdminWorld } from "./admin-world.ts";
import { RawAgent, tryUpgrade } from "./raw-agent.ts";

type Row = Record<string, unknown>;
function rows(body: Row, key: string): Row[] {
  return body[key] as Row[];
}

describe("who may use the admin API", () => {
  it("is nobody without an admin token: the paths are not there", async () => {
    await using relay = await createRelay({ bind: "127.0.0.1", token: "agent" });
    for (const path of ["/api/v1/tokens", "/api/openapi.json", "/metrics"]) {
      const answer = await fetch(`http://127.0.0.1:${String(relay.port)}/$$ggrok${path}`, {
        headers: { authorization: "Bearer agent" },
      });
      expect([path, answer.status]).toEqual([path, 404]);
    }
  });

  it("is whoever has the admin scope, from the configuration or the store, and nobody else", async () => {
    await using world = await AdminWorld.start({ token: "static" });
    const admin = await world.token("ops", { scopes: ["admin"] });
    const agent = await world.token("alice");
    const statuses = [];
    for (const token of [null, "wrong", "static", agent, admin, "root"])
      statuses.push((await world.api("GET", "/v1/status", undefined, token)).status);
    expect(statuses).toEqual([401, 401, 401, 401, 200, 200]);
    for (const path of ["/v1/tokens", "/v1/reservations", "/v1/sessions", "/v1/tunnels", "/openapi.json"])
      expect([path, (await world.api("GET", path, undefined, agent)).status]).toEqual([path, 401]);
  });

  it("ends with a token of the store that is revoked", async () => {
    await using world = await AdminWorld.start();
    const admin = await world.token("ops", { scopes: ["admin"] });
    expect((await world.api("DELETE", "/v1/tokens/ops", undefined, admin)).status).toBe(200);
    expect((await world.api("GET", "/v1/status", undefined, admin)).status).toBe(401);
  });

  it("is reached on the relay's own hosts alone", async () => {
    await using world = await AdminWorld.start();
    expect(await world.visit("app.t.example", "/$$ggrok/api/v1/status")).toMatchObject({ status: 404 });
    expect(await world.visit("t.example", "/$$ggrok/api/v1/status")).toMatchObject({ status: 401 });
  });
});

describe("tokens", () => {
  it("are shown once, with a link to log in, and never again", async () => {
    await using world = await AdminWorld.start();
    const made = await world.api("POST", "/v1/tokens", { name: "alice", names: ["alice-*"], expiresInS: 3_600 });
    expect(made).toMatchObject({
      status: 201,
      body: { name: "alice", names: ["alice-*"], scopes: ["bind", "connect"] },
    });
    const secret = String(made.body["secret"]);
    expect(made.body["invite"]).toBe(`https://t.example/#${secret}`);
    expect(Date.parse(String(made.body["expiresAt"])) - Date.now()).toBeGreaterThan(3_500_000);
    const list = await world.api("GET", "/v1/tokens");
    expect(rows(list.body, "tokens")).toMatchObject([{ name: "alice", lastUsedAt: null }]);
    expect(JSON.stringify(list.body)).not.toContain(secret);
  });

  it("have unique names, known scopes and readable globs", async () => {
    await using world = await AdminWorld.start();
    await world.token("alice");
    expect((await world.api("POST", "/v1/tokens", { name: "alice" })).status).toBe(409);
    const wrong = [
      {},
      { name: "a b" },
      { name: "x", scopes: ["root"] },
      { name: "x", names: ["a b"] },
      { name: "x", y: 1 },
    ];
    for (const body of wrong) {
      const answer = await world.api("POST", "/v1/tokens", body);
      expect(answer).toMatchObject({ status: 400, body: { code: "ERR_GGROK_REQUEST_MALFORMED" } });
    }
  });

  it("work at once, and their last use is noted", async () => {
    await using world = await AdminWorld.start();
    await world.agent(await world.token("alice"));
    const { body } = await world.api("GET", "/v1/tokens/alice");
    expect(Date.parse(String(body["lastUsedAt"]))).toBeGreaterThan(Date.now() - 60_000);
  });

  it("are needed from the first one on", async () => {
    await using world = await AdminWorld.start();
    expect((await tryUpgrade(world.origin)).status).toBe(101);
    await world.token("alice");
    expect((await tryUpgrade(world.origin)).status).toBe(401);
  });

  it("decide what is bound", async () => {
    await using world = await AdminWorld.start();
    const agent = await world.agent(await world.token("alice", { names: ["alice-*", "hooks.acme.com"] }));
    const urls = ["alice-api", "hooks.acme.com", "bob", undefined];
    const answers = [];
    for (const [index, url] of urls.entries())
      answers.push(await agent.bind({ bind: index + 1, ...(url !== undefined && { url }) }));
    expect(answers).toMatchObject([
      { type: "bound", url: expect.stringMatching(/^http:\/\/alice-api\.t\.example/u) },
      { type: "bound", url: expect.stringMatching(/^http:\/\/hooks\.acme\.com/u) },
      { type: "bind-refused", code: "ERR_GGROK_NAME_NOT_ALLOWED" },
      { type: "bound", url: expect.stringMatching(/^http:\/\/alice-[a-z0-9]{10}\.t\.example/u) },
    ]);
  });

  it("without the bind scope bring no agent in", async () => {
    await using world = await AdminWorld.start();
    const token = await world.token("reader", { scopes: ["connect"] });
    const agent = await RawAgent.dial(world.origin, { token });
    const { HELLO } = await import("./raw-agent.ts");
    const { encodeControlMessage } = await import("@ggrok/protocol");
    agent.ws.send(encodeControlMessage(HELLO));
    expect(await agent.next("refused")).toMatchObject({ code: "ERR_GGROK_TOKEN_REFUSED", retry: "never" });
    agent.terminate();
  });

  it("end their sessions when they are revoked, and nobody else's", async () => {
    await using world = await AdminWorld.start();
    const [alice, bob] = [await world.token("alice"), await world.token("bob")];
    const [first, second, other] = [await world.agent(alice), await world.agent(alice), await world.agent(bob)];
    await first.bind({ url: "app" });
    await other.bind({ url: "other" });
    expect((await world.api("DELETE", "/v1/tokens/alice")).status).toBe(200);
    const closed = await within("both sessions to end", Promise.all([first.closed, second.closed]));
    expect(closed.map(({ code }) => code)).toEqual([4401, 4401]);
    expect((await tryUpgrade(world.origin, { authorization: `Bearer ${alice}` })).status).toBe(401);
    expect(other.ws.readyState).toBe(other.ws.OPEN);
    expect(rows((await world.api("GET", "/v1/tunnels")).body, "tunnels").map((row) => row["url"])).toEqual([
      expect.stringMatching(/other\.t\.example/u),
    ]);
  });

  it("end their sessions when they expire", async () => {
    await using world = await AdminWorld.start();
    const agent = await world.agent(await world.token("brief", { expiresInS: 1 }));
    expect((await within("the session to end", agent.closed)).code).toBe(4401);
  });
});

describe("reservations", () => {
  it("come by themselves with claimed names, and keep others away when the agent has gone", async () => {
    await using world = await AdminWorld.start();
    const [alice, bob] = [await world.agent(await world.token("alice")), await world.agent(await world.token("bob"))];
    await alice.bind({ url: "app" });
    const { body } = await world.api("GET", "/v1/reservations");
    expect(rows(body, "reservations")).toMatchObject([{ name: "app", token: "alice", source: "claimed" }]);
    alice.terminate();
    await eventually(
      () => "the session to be gone",
      () => alice.ws.readyState === alice.ws.CLOSED,
    );
    expect(await bob.bind({ url: "app" })).toMatchObject({ type: "bind-refused", code: "ERR_GGROK_NAME_TAKEN" });
  });

  it("are made, moved by force only, and given back", async () => {
    await using world = await AdminWorld.start({ park: "0s" });
    for (const name of ["alice", "bob"]) await world.token(name);
    expect((await world.visit("app.t.example")).status).toBe(404);
    const wish = { name: "https://app.t.example", token: "alice" };
    expect(await world.api("POST", "/v1/reservations", wish)).toMatchObject({
      status: 200,
      body: { name: "app", source: "operator", expiresAt: null },
    });
    expect(await world.visit("app.t.example")).toEqual({ status: 503, code: "ERR_GGROK_ENDPOINT_OFFLINE" });
    const moved = { name: "app", token: "bob" };
    expect((await world.api("POST", "/v1/reservations", moved)).status).toBe(409);
    expect((await world.api("POST", "/v1/reservations", { ...moved, force: true })).body).toMatchObject({
      token: "bob",
    });
    expect((await world.api("DELETE", "/v1/reservations/app")).status).toBe(204);
    expect((await world.api("DELETE", "/v1/reservations/app")).status).toBe(404);
    expect((await world.visit("app.t.example")).status).toBe(404);
  });

  it("are refused for the relay itself, for nonsense and for unknown tokens", async () => {
    await using world = await AdminWorld.start();
    await world.token("alice");
    const asked = [
      { name: "t.example", token: "alice" },
      { name: "a b", token: "alice" },
      { name: "app", token: "nobody" },
    ];
    const statuses = [];
    for (const wish of asked) statuses.push((await world.api("POST", "/v1/reservations", wish)).status);
    expect(statuses).toEqual([400, 400, 404]);
  });
});

describe("sessions and tunnels", () => {
  it("are listed and looked at", async () => {
    await using world = await AdminWorld.start();
    const agent = await world.agent(await world.token("alice"), { label: "laptop" });
    await agent.bind({ url: "app" });
    const [session] = rows((await world.api("GET", "/v1/sessions")).body, "sessions");
    expect(session).toMatchObject({ agent: "laptop", token: "alice", state: "open", streams: 0 });
    expect(session?.["tunnels"]).toEqual([expect.stringContaining("app.t.example")]);
    const [tunnel] = rows((await world.api("GET", "/v1/tunnels")).body, "tunnels");
    expect(tunnel).toMatchObject({ kind: "http", isOnline: true, token: "alice", sessions: [{ id: session?.["id"] }] });
    expect((await world.api("GET", `/v1/sessions/${String(session?.["id"])}`)).body).toEqual(session);
    expect((await world.api("GET", `/v1/tunnels/${String(tunnel?.["id"])}`)).body).toEqual(tunnel);
    for (const path of ["/v1/sessions/x", "/v1/tunnels/x"]) {
      expect((await world.api("GET", path)).status).toBe(404);
      expect((await world.api("DELETE", path)).status).toBe(404);
    }
  });

  it("end a tunnel and leave the session its others", async () => {
    await using world = await AdminWorld.start();
    const agent = await world.agent(await world.token("alice"));
    await agent.bind({ bind: 1, url: "app" });
    await agent.bind({ bind: 2, url: "other" });
    const id = Buffer.from("app.t.example").toString("base64url");
    expect((await world.api("DELETE", `/v1/tunnels/${id}`)).status).toBe(204);
    expect(await agent.next("unbound")).toMatchObject({ bind: 1, code: "ERR_GGROK_ENDED_BY_OPERATOR" });
    expect(rows((await world.api("GET", "/v1/tunnels")).body, "tunnels")).toHaveLength(1);
  });

  it("end a session, tell its agent not to come back, and free its names", async () => {
    await using world = await AdminWorld.start({ hold: "30s", dataDir: undefined as unknown as string });
    const agent = await world.agent(await world.token("alice"));
    await agent.bind({ url: "app" });
    const [session] = rows((await world.api("GET", "/v1/sessions")).body, "sessions");
    expect((await world.api("DELETE", `/v1/sessions/${String(session?.["id"])}`)).status).toBe(204);
    expect(await agent.next("drain")).toMatchObject({ reconnect: "never" });
    agent.terminate();
    const left = async (): Promise<number> => rows((await world.api("GET", "/v1/tunnels")).body, "tunnels").length;
    let count = await left();
    while (count > 0) count = await left();
    expect(rows((await world.api("GET", "/v1/sessions")).body, "sessions")).toEqual([]);
  });
});

describe("the relay at a glance", () => {
  it("counts what there is", async () => {
    await using world = await AdminWorld.start();
    const agent = await world.agent(await world.token("alice"));
    await agent.bind({ url: "app" });
    const { body } = await world.api("GET", "/v1/status");
    expect(body).toMatchObject({
      state: "ready",
      domain: "t.example",
      store: "sqlite",
      sessions: 1,
      tunnels: 1,
      tokens: 1,
      reservations: 1,
      openExchanges: 0,
    });
  });
});

describe("the question of a front end that gets certificates on demand", () => {
  it("is answered yes for the relay's own hosts, live tunnels and reserved names alone", async () => {
    await using world = await AdminWorld.start({ publicUrl: "https://relay.example" });
    await world.token("alice");
    const agent = await world.agent(await world.token("bob", { names: ["*", "hooks.acme.com"] }));
    await agent.bind({ bind: 1, url: "live" });
    await agent.bind({ bind: 2, url: "hooks.acme.com" });
    await world.api("POST", "/v1/reservations", { name: "kept", token: "alice" });
    const ask = async (domain: string): Promise<number> =>
      (await fetch(`${world.origin}/$$ggrok/tls-ask?domain=${encodeURIComponent(domain)}`)).status;
    for (const domain of [
      "t.example",
      "relay.example",
      "live.t.example",
      "LIVE.t.example.",
      "kept.t.example",
      "hooks.acme.com",
    ])
      expect([domain, await ask(domain)]).toEqual([domain, 200]);
    for (const domain of ["nobody.t.example", "a.live.t.example", "acme.com", "localhost", "127.0.0.1"])
      expect([domain, await ask(domain)]).toEqual([domain, 404]);
    for (const domain of ["", "a b", "x/y"]) expect([domain, await ask(domain)]).toEqual([domain, 400]);
    expect((await fetch(`${world.origin}/$$ggrok/tls-ask`)).status).toBe(400);
  });

  it("is answered no for every host that merely reaches a relay with one host", async () => {
    await using world = await AdminWorld.start({ domain: undefined as unknown as string });
    await (await world.agent(await world.token("alice"))).bind();
    expect((await fetch(`${world.origin}/$$ggrok/tls-ask?domain=evil.example`)).status).toBe(404);
  });
});
