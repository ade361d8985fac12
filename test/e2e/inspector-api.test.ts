import { readFileSync, statSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { App } from "./cli-world.ts";
import { type ApiObject, callApi, EventReader, InspectorWorld, openApi } from "./inspector-world.ts";

let world: InspectorWorld;
let key = 0;
beforeAll(async () => {
  world = await InspectorWorld.start(["--redact", "X-Secret,password"]);
});
afterAll(() => world[Symbol.asyncDispose]());

/** One exchange of its own. @returns it, as the API shows it whole */
async function record(...fields: string[]): Promise<ApiObject> {
  const path = `/own${++key}`;
  await world.ask(world.head(`GET ${path} HTTP/1.1`, ...fields));
  return await world.exchange(`path=${path}`);
}

/** What a program of this user reads from the agent's state file. */
function readState(of: InspectorWorld): { url: string; token: string; path: string } {
  const [path = ""] = of.inspectorFiles().filter((file) => file.endsWith(".json"));
  return { ...JSON.parse(readFileSync(path, "utf8")), path };
}

describe("the list", () => {
  it("is newest first, goes on behind a number, and filters", async () => {
    const [a, b, c] = [await record(), await record("X-Tag: Blue"), await record()];
    const page = (await world.api("/api/requests/http?limit=2")).json;
    expect(page.requests.map((r: ApiObject) => r.id)).toEqual([c.id, b.id]);
    expect(page.stats).toMatchObject({ store: "sqlite", recording: true, dropped: 0 });
    expect(page.requests[0].request).not.toHaveProperty("headers");
    const older = (await world.api(`/api/requests/http?limit=1&before=${b.seq}`)).json;
    expect(older.requests[0].id).toBe(a.id);
    const newer = (await world.api(`/api/requests/http?after=${a.seq}`)).json;
    expect(newer.requests.map((r: ApiObject) => r.id)).toEqual([b.id, c.id]);
    const blue = (await world.api("/api/requests/http?text=blue&method=get&status=2xx&tunnel=command_line")).json;
    expect(blue.requests.map((r: ApiObject) => r.id)).toEqual([b.id]);
    expect((await world.api("/api/requests/http?status=404")).json.requests).toEqual([]);
  });

  it.each([
    ["/api/requests/http?status=teapot", 400, "ERR_GGROK_API_REQUEST_INVALID"],
    ["/api/requests/http?limit=many", 400, "ERR_GGROK_API_REQUEST_INVALID"],
    ["/api/requests/http?colour=blue", 400, "ERR_GGROK_API_REQUEST_INVALID"],
    ["/api/requests/http/nobody", 404, "ERR_GGROK_EXCHANGE_UNKNOWN"],
    ["/api/requests/http/nobody/request-body", 404, "ERR_GGROK_EXCHANGE_UNKNOWN"],
    ["/api/nothing", 404, "ERR_GGROK_API_NOT_FOUND"],
  ])("says what is wrong with %s", async (path, status, code) => {
    const answer = await world.api(path);
    expect([answer.status, answer.json.error_code, answer.json.status_code]).toEqual([status, code, status]);
    expect(answer.json.msg).toEqual(expect.any(String));
  });

  it("names the methods of a path that takes others", async () => {
    const answer = await world.api("/api/requests/http", { method: "PUT" });
    expect([answer.status, answer.json.error_code]).toEqual([405, "ERR_GGROK_API_METHOD_REFUSED"]);
    expect(answer.headers.allow).toMatch(/GET, HEAD.*DELETE/);
  });

  it("loses what is deleted", async () => {
    const { uri } = await record();
    expect((await world.api(uri, { method: "DELETE" })).status).toBe(204);
    expect((await world.api(uri)).status).toBe(404);
  });
});

it("answers with a body as bytes that no browser shows", async () => {
  world.origin.answer =
    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 25\r\n\r\n<script>alert(1)</script>";
  const { uri } = await record();
  const { headers, bytes } = await world.api(`${uri}/response-body`);
  expect(bytes.toString()).toBe("<script>alert(1)</script>");
  expect(headers["content-type"]).toBe("application/octet-stream");
  expect(headers["content-disposition"]).toMatch(/^attachment/);
  expect(headers["x-content-type-options"]).toBe("nosniff");
  expect(headers["content-security-policy"]).toContain("default-src 'none'");
});

it("gives many or large messages in several answers, in order and without a gap", async () => {
  const { id } = await record();
  const har = (await world.api(`/api/requests/har?ids=${id}`)).json;
  const sizes = [...Array.from({ length: 15 }, () => 200_000), ...Array.from({ length: 1_100 }, () => 3)];
  const [entry] = har.log.entries;
  entry._webSocketMessages = sizes.map((size, i) => ({ type: "send", time: i, opcode: 1, data: "m".repeat(size) }));
  const headers = { "content-type": "application/json" };
  const sent = await world.api("/api/requests/har", { method: "POST", headers, body: JSON.stringify(har) });
  const [imported] = sent.json.ids;
  const seen: { n: number; size: number }[] = [];
  const answers: number[] = [];
  for (let more = true; more; ) {
    const { json } = await world.api(`/api/requests/http/${imported}/messages?after=${seen.at(-1)?.n ?? 0}`);
    seen.push(...json.messages);
    answers.push(json.messages.length);
    more = json.more;
  }
  expect(seen.map(({ n, size }) => [n, size])).toEqual(sizes.map((size, i) => [i + 1, size]));
  expect(answers.length).toBeGreaterThan(2);
  expect(Math.max(...answers)).toBe(1_000);
});

it("writes nothing of what is to be redacted, and says so", async () => {
  const body = '{"user":"a","password":"hunter2"}';
  const head = world.head(
    "POST /login?password=hunter2 HTTP/1.1",
    "X-Secret: hunter2",
    "Content-Type: application/json",
  );
  await world.ask(head.replace("\r\n\r\n", `\r\nContent-Length: ${body.length}\r\n\r\n${body}`));
  const seen = await world.exchange("text=/login");
  expect(seen.replayable).toBe(false);
  expect(seen.request.body).toMatchObject({ redacted: true, stored: true });
  expect((await world.api(`${seen.uri}/request-body`)).json).toEqual({
    user: "a",
    password: expect.not.stringMatching("hunter2"),
  });
  expect(JSON.stringify(seen)).not.toContain("hunter2");
  world.agent.kill();
  await world.agent.exited;
  for (const file of world.inspectorFiles()) expect(readFileSync(file).includes("hunter2"), file).toBe(false);
  await world.startAgent(["--redact", "X-Secret,password"]);
});

describe("the events", () => {
  it("tell of exchanges as they end, and of what came while nobody listened", async () => {
    using live = await EventReader.open(world.web);
    await live.until("the first status", () => live.of("status").length > 0 && live.of("stats").length > 0);
    const first = await record();
    await live.until("the exchange", () => live.of("exchange").some(({ data }) => data.id === first.id));
    const event = live.of("exchange").find(({ data }) => data.id === first.id);
    expect(event?.id).toBe(String(first.seq));
    expect(event?.data.response.status_code).toBe(200);
    live.response.destroy();
    const missed = [await record(), await record()];
    using again = await EventReader.open(world.web, { "last-event-id": event?.id ?? "" });
    await again.until("what was missed", () => again.of("exchange").length === 2);
    expect(again.of("exchange").map(({ data }) => data.id)).toEqual(missed.map(({ id }) => id));
  });

  it("tell of what is deleted", async () => {
    const { id, uri } = await record();
    using live = await EventReader.open(world.web);
    await live.until("the first status", () => live.of("status").length > 0);
    await world.api(uri, { method: "DELETE" });
    await live.until("the removal", () => live.of("removed").some(({ data }) => data.id === id));
  });
});

describe("who may call", () => {
  const paths = ["/", "/api/tunnels", "/api/requests/http", "/api/events", "/api/status"];

  it.each([
    ["a name that was bound to this machine", { host: "evil.example" }],
    ["a name with a port", { host: "evil.example:4040" }],
    ["another site's page", { origin: "https://evil.example" }],
    ["a page without an origin", { origin: "null" }],
    ["a page at another port", { origin: "http://127.0.0.1:1" }],
    ["another site's image or EventSource", { "sec-fetch-site": "cross-site" }],
    ["a page of the same site", { "sec-fetch-site": "same-site" }],
  ])("not %s", async (_who, headers) => {
    for (const path of paths) {
      const { status, json } = await world.api(path, { headers });
      expect([path, status, json.error_code]).toEqual([path, 403, "ERR_GGROK_API_FORBIDDEN"]);
    }
  });

  it("gives no other site leave to read, and no upgrade", async () => {
    const { headers } = await world.api("/api/tunnels");
    expect(Object.keys(headers).filter((name) => name.startsWith("access-control"))).toEqual([]);
    expect(headers["cross-origin-resource-policy"]).toBe("same-origin");
    const upgrade = {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      origin: "https://evil.example",
    };
    expect((await world.api("/api/events", { headers: upgrade })).status).toBe(403);
  });

  it("takes a change from a browser with JSON and the token of this run only", async () => {
    const { uri } = await record();
    const { host } = new URL(world.web);
    const { token } = readState(world);
    const browser = { host, origin: `http://${host}`, "sec-fetch-site": "same-origin" };
    const json = { "content-type": "application/json" };
    const remove = async (headers: Record<string, string>): Promise<number> =>
      (await world.api(uri, { method: "DELETE", headers })).status;
    expect(await remove({ ...browser, ...json })).toBe(401);
    expect(await remove({ ...browser, ...json, "x-ggrok-token": "guess" })).toBe(401);
    expect(await remove({ ...browser, "content-type": "text/plain", "x-ggrok-token": token })).toBe(403);
    expect(await remove({ ...browser, origin: "https://evil.example", ...json, "x-ggrok-token": token })).toBe(403);
    expect((await world.api(uri)).status).toBe(200);
    expect(await remove({ ...browser, ...json, "x-ggrok-token": token })).toBe(204);
  });

  it("tells the token to its owner alone", () => {
    const state = readState(world);
    expect(state.url).toBe(world.web);
    expect(statSync(state.path).mode & 0o777).toBe(0o600);
  });

  it("takes the token for reading too where other machines can reach it", async () => {
    await using open = await InspectorWorld.start(["--web-addr", "0.0.0.0:0"]);
    const { token, url } = readState(open);
    const { pathname, searchParams } = new URL(open.web);
    expect([pathname, searchParams.get("token")]).toEqual(["/", token]);
    for (const path of ["/", "/api/tunnels", "/api/requests/http", "/api/events"]) {
      const answer = await callApi(url, path);
      expect([path, answer.status, answer.json.error_code]).toEqual([path, 401, "ERR_GGROK_API_TOKEN_REQUIRED"]);
    }
    // A container's health check has no token.
    expect((await callApi(url, "/api/status")).status).toBe(200);
    expect((await callApi(url, "/api/tunnels", { headers: { "x-ggrok-token": token } })).status).toBe(200);
    const entry = await openApi(url, `/?token=${token}`);
    entry.resume();
    expect([entry.statusCode, entry.headers.location]).toEqual([303, "/"]);
    const cookie = String(entry.headers["set-cookie"]?.[0]);
    expect(cookie).toMatch(/HttpOnly; SameSite=Strict/);
    const jar = { cookie: cookie.split(";")[0] ?? "" };
    expect((await callApi(url, "/api/requests/http", { headers: jar })).status).toBe(200);
    using events = await EventReader.open(url, jar);
    await events.until("the status", () => events.of("status").length > 0);
    // A cookie goes along with what other pages send, so it changes nothing.
    expect((await callApi(url, "/api/requests/http", { method: "DELETE", headers: jar })).status).toBe(401);
  });
});

it("takes the next port where the wanted one is taken, and says which", async () => {
  await using taken = await App.start((_request, response) => void response.end());
  await using second = await InspectorWorld.start(["--web-addr", `127.0.0.1:${taken.port}`]);
  expect(Number(new URL(second.web).port)).toBeGreaterThan(taken.port);
  expect((await callApi(second.web, "/api/status")).status).toBe(200);
});

it("records and stores nothing with --inspect false, and still tells the URL", async () => {
  await using plain = await InspectorWorld.start(["--inspect", "false"]);
  await plain.ask(plain.head("GET / HTTP/1.1"));
  expect((await plain.api("/api/tunnels")).json.tunnels[0].public_url).toBe(`http://${plain.host}`);
  expect((await plain.api("/api/requests/http")).status).toBe(404);
  expect(plain.inspectorFiles().filter((file) => !file.endsWith(".json"))).toEqual([]);
});
